//! Colours of classes.

/// Classes that have a colour of their own: as many as a byte tells apart.
pub const CLASSES: usize = 256;

/// Colours of the classes, RGB: the bit-interleaved palette of PASCAL VOC shifted by one, so that class 0 is dark red.
pub const fn palette() -> [[u8; 3]; CLASSES] {
    let mut colours = [[0; 3]; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let (mut bits, mut shift) = (class + 1, 7);
        while bits > 0 {
            let mut c = 0;
            while c < 3 {
                // Class 255 has a ninth bit, the 3 x 3 bits of which still fit.
                colours[class][c] |= ((bits >> c & 1) as u8) << shift;
                c += 1;
            }
            bits >>= 3;
            shift -= 1;
        }
        class += 1;
    }
    colours
}

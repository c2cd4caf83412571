//! The thresholded map, one bit per pixel. Sixty-four pixels are compared, skipped or searched at a time,
//! which is what makes an almost empty map almost free.

use crate::image::Size;

const WORD: usize = u64::BITS as usize;

/// A bit plane with a frame of background: a row of zeros above and below and a word of zeros before each row,
/// which also ends the row before it. Pixels are addressed by [`Bitmap::position`].
#[derive(Debug, Default)]
pub(super) struct Bitmap {
    words: Vec<u64>,
    words_per_row: usize,
    size: (usize, usize),
}

impl Bitmap {
    /// Makes this an empty plane for `width` x `height` pixels.
    pub fn reset(&mut self, width: usize, height: usize) {
        self.size = (width, height);
        self.words_per_row = 1 + width.div_ceil(WORD);
        self.words.clear();
        self.words.resize(self.words_per_row * (height + 2) + 2, 0);
    }

    /// Sets the pixels whose value is above `thresh`; a value that is no number is not.
    pub fn threshold(&mut self, map: &[f32], size: Size, thresh: f32) {
        let (width, height) = (size.width as usize, size.height as usize);
        self.reset(width, height);
        let rows = self.words.chunks_exact_mut(self.words_per_row).skip(1);
        for (row, values) in rows.zip(map.chunks_exact(width)) {
            let mut words = row[1..].iter_mut();
            let mut blocks = values.chunks_exact(WORD);
            for (block, word) in blocks.by_ref().zip(words.by_ref()) {
                *word = above(block, thresh);
            }
            if let Some(word) = words.next() {
                let mut block = [f32::NEG_INFINITY; WORD];
                block[..blocks.remainder().len()].copy_from_slice(blocks.remainder());
                *word = above(&block, thresh);
            }
        }
    }

    /// Dilates by the 2x2 kernel as OpenCV anchors it: a pixel becomes the maximum of itself and its
    /// neighbours to the left, above and above left.
    pub fn dilate(&mut self) {
        let (width, height) = self.size;
        let tail = match width % WORD {
            0 => u64::MAX,
            bits => (1 << bits) - 1,
        };
        let stride = self.words_per_row;
        for start in (1..=height).rev().map(|row| row * stride) {
            for at in (start + 1..start + stride).rev() {
                let widened = |at: usize| self.words[at] | self.words[at] << 1 | self.words[at - 1] >> (WORD - 1);
                self.words[at] = widened(at) | widened(at - stride);
            }
            self.words[start + stride - 1] &= tail;
        }
    }

    /// Bits from one row to the next.
    pub fn row_step(&self) -> usize {
        self.words_per_row * WORD
    }

    /// Address of pixel (x, y).
    pub fn position(&self, x: usize, y: usize) -> usize {
        (y + 1) * self.row_step() + WORD + x
    }

    /// Words of the plane that hold pixels of row `y`, as indices for [`Bitmap::word`].
    pub fn row_words(&self, y: usize) -> std::ops::Range<usize> {
        let start = (y + 1) * self.words_per_row;
        start + 1..start + self.words_per_row
    }

    /// The pixels of one word; bit 0 is the leftmost.
    pub fn word(&self, at: usize) -> u64 {
        self.words[at]
    }

    /// Like [`Bitmap::word`], for the pixels one to the left.
    pub fn word_to_left(&self, at: usize) -> u64 {
        self.words[at] << 1 | self.words[at - 1] >> (WORD - 1)
    }

    /// Three neighbouring pixels, the one at `position` in bit 0.
    pub fn three(&self, position: usize) -> usize {
        let (at, shift) = (position / WORD, position % WORD);
        ((self.words[at] >> shift | self.words[at + 1] << 1 << (WORD - 1 - shift)) & 7) as usize
    }

    /// Sets the pixel at `position`.
    pub fn set(&mut self, position: usize) {
        self.words[position / WORD] |= 1 << (position % WORD);
    }
}

/// One bit for each of 64 values: is it above `thresh`?
fn above(block: &[f32], thresh: f32) -> u64 {
    // Most of a page is blank: a look without packing is three times as fast.
    if !block.iter().fold(false, |any, &v| any | (v > thresh)) {
        return 0;
    }
    let mut word = 0;
    for (i, eight) in block.chunks_exact(8).enumerate() {
        let mut bytes = [0; 8];
        for (byte, &v) in bytes.iter_mut().zip(eight) {
            *byte = u8::from(v > thresh);
        }
        // The product moves bit 0 of byte k to bit 56 + k.
        word |= (u64::from_le_bytes(bytes).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * i);
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bitmap: &Bitmap, width: usize, height: usize) -> Vec<bool> {
        (0..width * height).map(|i| bitmap.three(bitmap.position(i % width, i / width)) & 1 == 1).collect()
    }

    #[test]
    fn threshold_and_dilation_follow_their_definitions() {
        for (width, height) in [(1, 1), (63, 2), (64, 3), (65, 3), (200, 5)] {
            let mut state = 7u32;
            let map: Vec<f32> = (0..width * height)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    if state.is_multiple_of(17) { f32::NAN } else { (state >> 8) as f32 / (1 << 24) as f32 }
                })
                .collect();
            let mut bitmap = Bitmap::default();
            bitmap.threshold(&map, Size::new(width as u32, height as u32), 0.8);
            let expected: Vec<bool> = map.iter().map(|&v| v > 0.8).collect();
            assert_eq!(read(&bitmap, width, height), expected, "{width}x{height}");

            bitmap.dilate();
            let at = |x: usize, y: usize| x < width && y < height && expected[y * width + x];
            let dilated: Vec<bool> = (0..width * height)
                .map(|i| (i % width, i / width))
                .map(|(x, y)| at(x, y) || at(x.wrapping_sub(1), y) || at(x, y.wrapping_sub(1)) || at(x.wrapping_sub(1), y.wrapping_sub(1)))
                .collect();
            assert_eq!(read(&bitmap, width, height), dilated, "{width}x{height}");
            // Nothing spills into the frame.
            assert_eq!(bitmap.words.iter().map(|w| w.count_ones() as usize).sum::<usize>(), dilated.iter().filter(|&&d| d).count());
        }
    }
}

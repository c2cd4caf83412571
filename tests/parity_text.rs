//! Text detection and recognition post-processing against OpenCV, pyclipper and NumPy.
//! The fixtures lie with the scripts that made them in `tests/fixtures/text`.

mod parity_text {
    mod boxes;
    mod ctc;
    mod rects;
}

//! Lines of text that a stream has shown before, to be taken over where nothing has changed.

use crate::error::Result;
use crate::image::{KnownLine, Picture};
use crate::ops::difference::tiles;
use crate::result::{OcrResult, TextSource};
use crate::trace::Transfers;
use std::cmp::Reverse;

/// Frames of a stream that lines are remembered of.
pub(super) const MOST: usize = 4;

/// Part of the bound for whole frames that holds for lines: a digit of small print that becomes another one is worth less than a level.
const PART: f32 = 1.0 / 8.0;

/// Frames of one stream with the lines that were read in them. Lines that a frame had taken over are none of its own: what is taken over is
/// held against the frame in which it was read, however long ago that was.
#[derive(Default)]
pub(super) struct Anchors(Vec<Anchor>);

struct Anchor {
    frame_id: u64,
    /// The last frame that a line of it was known in.
    used: u64,
    image: Picture,
    lines: Vec<KnownLine>,
}

impl Anchors {
    /// Lines that have not changed in `image`, frame number `frame_id`: no tile that they reach into differs by more than an eighth of `most`.
    /// The latest come first.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device).
    pub fn known(&mut self, frame_id: u64, image: &Picture, most: f32) -> Result<Vec<KnownLine>> {
        let mut known = Vec::new();
        for Anchor { image: earlier, lines, used, .. } in &mut self.0 {
            let Some(tiles) = tiles(earlier, image, &mut Transfers::default())? else { continue };
            let before = known.len();
            known.extend(lines.iter().filter(|line| tiles.largest_around(&line.points) <= most * PART).cloned());
            if known.len() > before {
                *used = frame_id.max(*used);
            }
        }
        Ok(known)
    }

    /// Remembers what was read in a frame. Where there are too many frames the one goes that was of use longest ago, of several the oldest.
    pub fn add(&mut self, frame_id: u64, image: &Picture, ocr: &OcrResult) {
        let is_own = |index: usize| ocr.rec_source.get(index) != Some(&TextSource::Earlier);
        let lines = ocr.dt_polys.iter().zip(ocr.rec_text.iter().zip(&ocr.rec_score)).enumerate().filter(|(index, _)| is_own(*index));
        let lines: Vec<_> =
            lines.map(|(_, (points, (text, score)))| KnownLine { points: points.clone(), text: text.clone(), score: *score }).collect();
        if lines.is_empty() {
            return;
        }
        self.0.push(Anchor { frame_id, used: frame_id, image: image.clone(), lines });
        self.0.sort_by_key(|anchor| Reverse(anchor.frame_id)); // frames are not done in their order
        if self.0.len() > MOST
            && let Some(least) = self.0[1..].iter().map(|anchor| anchor.used).min()
            && let Some(at) = self.0.iter().rposition(|anchor| anchor.used == least)
        {
            self.0.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{ImageBuf, PixelFormat, PointI, Size};

    const SIZE: Size = Size { width: 320, height: 64 };

    /// A screen of ten places of 32 pixels for lines, in grey.
    fn screen(greys: [u8; 10]) -> Picture {
        let data = (0..SIZE.area() as usize).flat_map(|at| [greys[at % 320 / 32]; 3]).collect();
        ImageBuf::new(data, SIZE, PixelFormat::Bgr).expect("a picture").into()
    }

    /// The result of a frame with a line a place, of which those in `taken` were taken over.
    fn result(greys: [u8; 10], taken: &[usize]) -> OcrResult {
        let place = |place: i32| [(2, 2), (29, 2), (29, 60), (2, 60)].map(|(x, y)| PointI::new(32 * place + x, y)).to_vec();
        OcrResult {
            dt_polys: (0..10).map(place).collect(),
            rec_text: greys.map(|grey| grey.to_string()).to_vec(),
            rec_score: vec![0.9; 10],
            rec_source: (0..10).map(|at| if taken.contains(&at) { TextSource::Earlier } else { TextSource::Ocr }).collect(),
            ..OcrResult::default()
        }
    }

    fn texts(anchors: &mut Anchors, frame_id: u64, greys: [u8; 10]) -> Vec<String> {
        let mut known = anchors.known(frame_id, &screen(greys), 8.0).expect("compared");
        known.sort_by_key(|line| line.points[0].x);
        known.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_are_known_as_long_as_nothing_changes_around_them() {
        let (mut anchors, mut greys) = (Anchors::default(), [100; 10]);
        assert!(texts(&mut anchors, 0, greys).is_empty());
        anchors.add(0, &screen(greys), &result(greys, &[]));
        assert_eq!(texts(&mut anchors, 0, greys), ["100"; 10]);
        // By more than an eighth of what is allowed, and by no more.
        (greys[3], greys[4]) = (102, 101);
        assert_eq!(texts(&mut anchors, 0, greys), ["100"; 9]);
        // One place changes with every frame: the others stay known.
        let others: Vec<usize> = (0..10).filter(|&at| at != 3).collect();
        for frame in 1..20 {
            greys[3] = 100 + 5 * frame as u8;
            assert_eq!(texts(&mut anchors, frame, greys), ["100"; 9], "{frame}");
            anchors.add(frame, &screen(greys), &result(greys, &others));
            assert_eq!(texts(&mut anchors, frame, greys).iter().filter(|text| **text == greys[3].to_string()).count(), 1, "{frame}");
        }
        assert_eq!(anchors.0.len(), MOST);
        // Most of them change, and stay: all are known from then on.
        (0..6).for_each(|at| greys[at] = 7);
        anchors.add(20, &screen(greys), &result(greys, &[6, 7, 8, 9]));
        assert_eq!(texts(&mut anchors, 21, greys), [["7"; 6].as_slice(), &["100"; 4]].concat());
    }

    /// Slides that are gone give way to the one that is shown, however little is on that.
    #[test]
    fn what_is_of_use_stays() {
        let mut anchors = Anchors::default();
        for frame in 0..4u8 {
            let page = [50 + 20 * frame; 10];
            anchors.add(u64::from(frame), &screen(page), &result(page, &[]));
        }
        let (mut slide, few) = ([200; 10], |taken: &[usize]| {
            let mut few = result([200; 10], taken);
            few.dt_polys.truncate(3);
            few.rec_text.truncate(3);
            few.rec_score.truncate(3);
            few.rec_source.truncate(3);
            few
        });
        anchors.add(4, &screen(slide), &few(&[]));
        for frame in 5..40 {
            slide[2] = (7 * frame % 90) as u8;
            let known = anchors.known(frame, &screen(slide), 8.0).expect("compared");
            assert_eq!(known.iter().filter(|line| line.text == "200").count(), 2, "{frame}");
            anchors.add(frame, &screen(slide), &few(&[0, 1]));
        }
    }
}

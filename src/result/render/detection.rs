//! The pictures of detections: boxes with labels, and the shapes of instances under them.

use super::canvas::{Canvas, Colour, Panel, Stencil};
use super::font::Fonts;
use super::label::{Label, caption};
use super::palette;
use crate::error::{Error, Result};
use crate::image::{ImageBuf, ImageView};
use crate::result::{DetectedBox, DetectionResult, InstanceResult};
use std::collections::HashMap;
use tiny_skia::{PathBuilder, Rect, Stroke};

/// Share of the class's colour in the pixels of an instance.
const MASK_SHARE: f32 = 0.7;
/// How far that colour is moved towards white.
const MASK_LIGHT: f32 = 0.4;

/// Draws the boxes of `result` over `image`, the picture it was made from. Returns RGB pixels of the same size.
pub fn draw_detection(image: ImageView<'_>, result: &DetectionResult, fonts: &Fonts) -> Result<ImageBuf> {
    boxes_over(image, &result.boxes, fonts)
}

/// `boxes` over `image`.
pub(super) fn boxes_over(image: ImageView<'_>, boxes: &[DetectedBox], fonts: &Fonts) -> Result<ImageBuf> {
    let mut canvas = Canvas::new(image)?;
    draw_boxes(&mut canvas, boxes, fonts);
    canvas.finish()
}

/// Draws the shapes and boxes of `result` over `image`, the picture it was made from. Returns RGB pixels of the same size.
/// An error when the lists of the result differ in length, or a mask has not the size of its box.
pub fn draw_instances(image: ImageView<'_>, result: &InstanceResult, fonts: &Fonts) -> Result<ImageBuf> {
    if result.boxes.len() != result.masks.len() {
        let reason = format!("{} boxes, {} masks", result.boxes.len(), result.masks.len());
        return Err(Error::internal("drawing", reason));
    }
    let mut canvas = Canvas::new(image)?;
    for ((found, mask), colour) in result.boxes.iter().zip(&result.masks).zip(colours(&result.boxes)) {
        let [left, top, ..] = found.pixels();
        let light = palette::colour(colour).0.map(|c| (f32::from(c) * (1.0 - MASK_LIGHT) + 255.0 * MASK_LIGHT) as u8);
        let corner = (left.max(0) as u32, top.max(0) as u32);
        canvas.mix(corner, mask.size(), mask.inside(), light, MASK_SHARE)?;
    }
    draw_boxes(&mut canvas, &result.boxes, fonts);
    canvas.finish()
}

/// The colour of each box, by number: a class gets that of the place of its first box.
fn colours(boxes: &[DetectedBox]) -> impl Iterator<Item = usize> {
    let mut of_class = HashMap::new();
    boxes.iter().enumerate().map(move |(index, found)| *of_class.entry(found.cls_id).or_insert(index))
}

/// Outlines first, then labels, so that no outline crosses a label.
fn draw_boxes(canvas: &mut Canvas, boxes: &[DetectedBox], fonts: &Fonts) {
    let (width, height) = (canvas.size().width, canvas.size().height);
    let line = (0.005 * f64::from(width.max(height))).trunc().max(1.0) as f32;
    let em = ((0.024 * f64::from(width)).trunc() + 2.0) as f32;
    let colours: Vec<(Colour, Colour)> = colours(boxes).map(palette::colour).collect();
    for (found, (colour, _)) in boxes.iter().zip(&colours) {
        outline(canvas, found.coordinate, line, *colour);
    }
    let texts: Vec<String> = boxes.iter().map(|found| caption(&found.label, found.score)).collect();
    let stack = fonts.stack_for(texts.iter().map(String::as_str));
    for (found, &colours) in boxes.iter().zip(&colours) {
        let [x1, y1, ..] = found.coordinate;
        let label = Label::fitting(&found.label, found.score, [0.0, em], (width as f32, height as f32), &stack);
        // Above the corner; inside where there is no room. Never over the edge, where it could not be read.
        let top = if y1 < label.size.1 { y1 } else { y1 - label.size.1 };
        let (left, top) = (x1.min(width as f32 - label.size.0), top.min(height as f32 - label.size.1));
        label.draw(canvas, left.max(0.0).round(), top.max(0.0).round(), colours, &stack);
    }
}

fn outline(canvas: &mut Canvas, [x1, y1, x2, y2]: [f32; 4], width: f32, colour: Colour) {
    let stroke = Stroke { width, ..Stroke::default() };
    // The lines of a box at the edge of the picture stay visible: they lie on the pixels themselves.
    let path = Rect::from_ltrb(x1 + 0.5, y1 + 0.5, (x2 - 0.5).max(x1 + 0.5), (y2 - 0.5).max(y1 + 0.5)).map(PathBuilder::from_rect);
    let area = path.and_then(|path| path.stroke(&stroke, 1.0)).and_then(|path| Stencil::fill(path, canvas.size()));
    if let Some(area) = area {
        canvas.paint(Panel::Picture, &area, colour);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{PixelFormat, Size};
    use crate::result::{Header, Mask};

    #[test]
    fn a_class_has_the_colour_of_its_first_box_and_masks_a_lighter_one() {
        let found =
            |(cls_id, left): (u32, f32)| DetectedBox { cls_id, label: "a".into(), score: 0.9, coordinate: [left, 40.0, left + 30.0, 70.0] };
        let boxes = [(5, 10.0), (2, 60.0), (5, 110.0)].map(found).to_vec();
        let masks = vec![Mask::new(Size::new(30, 30), vec![1; 900]).unwrap(); 3];
        let picture = ImageBuf::new(vec![100; 160 * 80 * 3], Size::new(160, 80), PixelFormat::Rgb).unwrap();
        let fonts = Fonts::new(None).unwrap().with_folders(Vec::new());
        let drawn = draw_instances(picture.view(), &InstanceResult { header: Header::default(), boxes, masks }, &fonts).unwrap();
        let inside = [20, 70, 120].map(|x| &drawn.data()[(60 * 160 + x) * 3..][..3]);
        // 0.3 of the picture, 0.7 of ff0000 and ccff00, which are 0.4 nearer to white.
        assert_eq!(inside, [[208, 101, 101], [186, 208, 101], [208, 101, 101]]);
    }
}

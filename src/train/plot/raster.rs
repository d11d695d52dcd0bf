use std::io::Cursor;

use image::{ImageFormat, ImageResult, Rgb, RgbImage};

use super::chart::{Anchor, Colour, HEIGHT, Mark, WIDTH};
use super::font::{GLYPH_HEIGHT, GLYPH_WIDTH, descent, glyph};

/// Pixels for each unit of the chart, so that lines are smooth to the eye.
const ZOOM: f64 = 2.0;

/// The picture as the bytes of a PNG file.
pub(super) fn render(marks: &[Mark]) -> ImageResult<Vec<u8>> {
    let side = |length: f64| (length * ZOOM) as u32;
    let mut picture = RgbImage::from_pixel(side(WIDTH), side(HEIGHT), Rgb([255; 3]));
    for mark in marks {
        match mark {
            Mark::Line {
                points,
                colour,
                width,
                is_dashed,
            } => {
                let mut travelled = 0.0;
                for pair in points.windows(2) {
                    let brush = Brush {
                        colour: *colour,
                        width: width * ZOOM,
                        is_dashed: *is_dashed,
                    };
                    travelled = brush.line(&mut picture, (pair[0], pair[1]), travelled);
                }
            }
            Mark::Text {
                at,
                text,
                colour,
                anchor,
            } => write_text(&mut picture, (text, *at), *colour, *anchor),
        }
    }
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png)?;
    Ok(png.into_inner())
}

fn dot(picture: &mut RgbImage, (x, y): (f64, f64), size: f64, colour: Colour) {
    let from = |centre: f64| (centre - size / 2.0).round().max(0.0) as u32;
    let cells = size.round().max(1.0) as u32;
    for row in from(y)..from(y) + cells {
        for column in from(x)..from(x) + cells {
            if let Some(pixel) = picture.get_pixel_mut_checked(column, row) {
                *pixel = Rgb(colour);
            }
        }
    }
}

struct Brush {
    colour: Colour,
    width: f64,
    is_dashed: bool,
}

impl Brush {
    /// Draws a line from one point to another of the chart; `travelled` is the
    /// way that its dashes have come, and what it gives is the way after it.
    fn line(
        &self,
        picture: &mut RgbImage,
        (from, to): ((f64, f64), (f64, f64)),
        travelled: f64,
    ) -> f64 {
        let (from, to) = ((from.0 * ZOOM, from.1 * ZOOM), (to.0 * ZOOM, to.1 * ZOOM));
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let steps = length.ceil().clamp(1.0, 1e5) as u32;
        for step in 0..=steps {
            let share = f64::from(step) / f64::from(steps);
            let way = travelled + share * length;
            if self.is_dashed && way % (10.0 * ZOOM) > 6.0 * ZOOM {
                continue;
            }
            let at = |from: f64, to: f64| from + share * (to - from);
            let place = (at(from.0, to.0), at(from.1, to.1));
            dot(picture, place, self.width, self.colour);
        }
        travelled + length
    }
}

fn write_text(
    picture: &mut RgbImage,
    (text, (x, y)): (&str, (f64, f64)),
    colour: Colour,
    anchor: Anchor,
) {
    let advance = f64::from(GLYPH_WIDTH + 1) * ZOOM;
    let length = advance * text.chars().count() as f64;
    let start = x * ZOOM
        - match anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => length / 2.0,
            Anchor::End => length,
        };
    for (index, letter) in text.chars().enumerate() {
        let left = start + advance * index as f64;
        for (row, bits) in glyph(letter).into_iter().enumerate() {
            for column in 0..GLYPH_WIDTH {
                if bits >> (GLYPH_WIDTH - 1 - column) & 1 == 1 {
                    let above = f64::from(GLYPH_HEIGHT - descent(letter)) - row as f64;
                    let place = (
                        left + (f64::from(column) + 0.5) * ZOOM,
                        y * ZOOM - (above - 0.5) * ZOOM,
                    );
                    dot(picture, place, ZOOM, colour);
                }
            }
        }
    }
}

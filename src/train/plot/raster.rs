use std::io::Cursor;

use image::{ImageFormat, ImageResult, Rgb, RgbImage};

use super::chart::{Anchor, Color, HEIGHT, Mark, Point, WIDTH};
use super::font::{GLYPH_HEIGHT, GLYPH_WIDTH, descent, glyph};

/// Pixels for each unit of the chart; more than one makes lines smooth.
const ZOOM: f64 = 2.0;

/// The image as the bytes of a PNG file.
pub(super) fn render(marks: &[Mark]) -> ImageResult<Vec<u8>> {
    let side = |length: f64| (length * ZOOM) as u32;
    let mut image = RgbImage::from_pixel(side(WIDTH), side(HEIGHT), Rgb([255; 3]));
    for mark in marks {
        match mark {
            Mark::Line {
                points,
                color,
                width,
                is_dashed,
            } => {
                let mut brush = Brush {
                    color: *color,
                    width: width * ZOOM,
                    is_dashed: *is_dashed,
                    travelled: 0.0,
                };
                for pair in points.windows(2) {
                    brush.line(&mut image, zoomed(pair[0]), zoomed(pair[1]));
                }
            }
            Mark::Text {
                at,
                text,
                color,
                anchor,
            } => write_text(
                &mut image,
                text,
                start_of(text, zoomed(*at), *anchor),
                *color,
            ),
        }
    }
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png)?;
    Ok(png.into_inner())
}

/// A point on the image, in pixels.
fn zoomed(point: Point) -> Point {
    Point {
        x: point.x * ZOOM,
        y: point.y * ZOOM,
    }
}

fn dot(image: &mut RgbImage, center: Point, size: f64, color: Color) {
    let from = |center: f64| (center - size / 2.0).round().max(0.0) as u32;
    let side = size.round().max(1.0) as u32;
    for row in from(center.y)..from(center.y) + side {
        for column in from(center.x)..from(center.x) + side {
            if let Some(pixel) = image.get_pixel_mut_checked(column, row) {
                *pixel = Rgb(color);
            }
        }
    }
}

struct Brush {
    color: Color,
    width: f64,
    is_dashed: bool,
    /// Length of the line so far, which its dashes go by.
    travelled: f64,
}

impl Brush {
    fn line(&mut self, image: &mut RgbImage, from: Point, to: Point) {
        let length = (to.x - from.x).hypot(to.y - from.y);
        let steps = length.ceil().clamp(1.0, 1e5) as u32;
        for step in 0..=steps {
            let fraction = f64::from(step) / f64::from(steps);
            let travelled = self.travelled + fraction * length;
            if self.is_dashed && travelled % (10.0 * ZOOM) > 6.0 * ZOOM {
                continue;
            }
            let center = Point {
                x: from.x + fraction * (to.x - from.x),
                y: from.y + fraction * (to.y - from.y),
            };
            dot(image, center, self.width, self.color);
        }
        self.travelled += length;
    }
}

/// Width of a letter and the gap after it.
const ADVANCE: f64 = (GLYPH_WIDTH + 1) as f64 * ZOOM;

/// Where the first letter of a text begins.
fn start_of(text: &str, at: Point, anchor: Anchor) -> Point {
    let length = ADVANCE * text.chars().count() as f64;
    let x = match anchor {
        Anchor::Start => at.x,
        Anchor::Middle => at.x - length / 2.0,
        Anchor::End => at.x - length,
    };
    Point { x, y: at.y }
}

fn write_text(image: &mut RgbImage, text: &str, start: Point, color: Color) {
    for (index, letter) in text.chars().enumerate() {
        let left = start.x + ADVANCE * index as f64;
        for (row, bits) in glyph(letter).into_iter().enumerate() {
            for column in 0..GLYPH_WIDTH {
                if bits >> (GLYPH_WIDTH - 1 - column) & 1 == 1 {
                    let above = f64::from(GLYPH_HEIGHT - descent(letter)) - row as f64;
                    let center = Point {
                        x: left + (f64::from(column) + 0.5) * ZOOM,
                        y: start.y - (above - 0.5) * ZOOM,
                    };
                    dot(image, center, ZOOM, color);
                }
            }
        }
    }
}

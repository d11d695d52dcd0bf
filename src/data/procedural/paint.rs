use rand::Rng;

use crate::error::Result;
use crate::preprocess::{Image, Size};

use super::field::{Point, fractal, step};
use super::motif::Motif;
use super::shape::contains;
use super::texture::{Variation, of_copy, periods, shade};

/// Samples along a pixel's side.
const SAMPLES: u32 = 2;

type Color = [f32; 3];

/// The random parameters of one image.
struct Scene {
    motif: Motif,
    variation: Variation,
    dark: Color,
    light: Color,
    angle: f32,
    periods: f32,
    offset: Point,
    copies: Vec<Copy>,
    /// Direction and strength of the light's change across the image.
    light_from: Point,
    uneven: f32,
    grain: f32,
    background: f32,
}

/// One shape of an image.
struct Copy {
    middle: Point,
    radius: f32,
    angle: f32,
}

pub(super) fn image(motif: Motif, size: usize, rng: &mut impl Rng) -> Result<Image> {
    let scene = Scene::draw(motif, rng);
    let square = Size {
        width: size,
        height: size,
    };
    let mut bytes = Vec::with_capacity(3 * square.pixels()?);
    for row in 0..size {
        for column in 0..size {
            let color = scene.pixel(column, row, size);
            let grain = scene.grain * (rng.random::<f32>() + rng.random::<f32>() - 1.0);
            bytes.extend(color.map(|value| ((value + grain) * 255.0).round() as u8));
        }
    }
    Image::from_rgb8(size, size, bytes)
}

fn within(least: f32, most: f32, rng: &mut impl Rng) -> f32 {
    least + (most - least) * rng.random::<f32>()
}

/// Two colors of random tints. The second is lighter.
fn colors(rng: &mut impl Rng) -> (Color, Color) {
    let contrast = within(0.25, 0.7, rng);
    let dark = within(0.05, 0.95 - contrast, rng);
    let mut color = |light: f32| -> Color {
        let tint: Color = std::array::from_fn(|_| within(-0.25, 0.25, rng));
        let mean = tint.iter().sum::<f32>() / 3.0;
        tint.map(|tint| (light + tint - mean).clamp(0.0, 1.0))
    };
    (color(dark), color(dark + contrast))
}

impl Scene {
    fn draw(motif: Motif, rng: &mut impl Rng) -> Self {
        let (dark, light) = colors(rng);
        let (dark, light) = if rng.random::<bool>() {
            (dark, light)
        } else {
            (light, dark)
        };
        let variation = Variation {
            a: rng.random(),
            b: rng.random(),
            c: rng.random(),
            seed: rng.random(),
        };
        let (least, most) = periods(motif);
        let centered = matches!(motif, Motif::Rings | Motif::Rays | Motif::Spiral);
        let periods = least * libm::powf(most / least, rng.random());
        let reach = if centered { 0.35 * periods } else { 50.0 };
        Self {
            motif,
            dark,
            light,
            angle: within(0.0, std::f32::consts::TAU, rng),
            periods,
            offset: Point {
                x: within(-reach, reach, rng),
                y: within(-reach, reach, rng),
            },
            copies: copies(variation.seed, rng),
            light_from: Point { x: 1.0, y: 0.0 }.turned(within(0.0, 6.3, rng)),
            uneven: within(0.0, 0.35, rng),
            grain: within(0.0, 0.12, rng),
            background: within(0.0, 0.25, rng),
            variation,
        }
    }

    fn pixel(&self, column: usize, row: usize, size: usize) -> Color {
        let place = |pixel: usize, sample: u32| {
            let inside = (sample as f32 + 0.5) / SAMPLES as f32;
            (pixel as f32 + inside) / size as f32 - 0.5
        };
        let point = |x: u32, y: u32| Point {
            x: place(column, x),
            y: place(row, y),
        };
        let mut brightness = 0.0;
        for y in 0..SAMPLES {
            for x in 0..SAMPLES {
                brightness += self.brightness(point(x, y));
            }
        }
        let brightness = brightness / (SAMPLES * SAMPLES) as f32;
        let middle = point(0, 0);
        let along = middle.x * self.light_from.x + middle.y * self.light_from.y;
        let light = 1.0 + self.uneven * along;
        std::array::from_fn(|channel| {
            let (dark, bright) = (self.dark[channel], self.light[channel]);
            ((dark + (bright - dark) * brightness) * light).clamp(0.0, 1.0)
        })
    }

    /// The fraction of the light color at a point of the image, with both
    /// coordinates from -1/2 to 1/2.
    fn brightness(&self, p: Point) -> f32 {
        let turned = p.turned(self.angle);
        let in_periods = turned.scaled(self.periods, self.periods);
        let moved = in_periods.moved(self.offset.x, self.offset.y);
        if let Some(brightness) = shade(self.motif, moved, &self.variation) {
            return brightness;
        }
        let inside = self.copies.iter().any(|copy| {
            let own = p.moved(-copy.middle.x, -copy.middle.y).turned(copy.angle);
            let own = own.scaled(1.0 / copy.radius, 1.0 / copy.radius);
            contains(self.motif, own, &self.variation)
        });
        let behind = self.background * fractal(moved, 2, self.variation.seed);
        step(inside).max(behind)
    }
}

/// One large shape, or up to four small ones in different quarters.
fn copies(seed: u32, rng: &mut impl Rng) -> Vec<Copy> {
    let mut angle = || within(0.0, std::f32::consts::TAU, rng);
    let single = of_copy(0, seed, 10) < 0.6;
    let quarters = [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)];
    let copy = |place: (f32, f32), number: i32, angle: f32| {
        let random = |what: u32| of_copy(number, seed, what);
        let (spread, least, most) = if single {
            (0.0, 0.2, 0.42)
        } else {
            (0.25, 0.13, 0.22)
        };
        let play = if single { 0.12 } else { 0.04 };
        Copy {
            middle: Point {
                x: place.0 * spread + play * (2.0 * random(11) - 1.0),
                y: place.1 * spread + play * (2.0 * random(12) - 1.0),
            },
            radius: least + (most - least) * random(13),
            angle,
        }
    };
    if single {
        return vec![copy((0.0, 0.0), 0, angle())];
    }
    let numbered = quarters.into_iter().zip(1..);
    numbered
        .filter(|&(_, number)| number < 3 || of_copy(number, seed, 14) < 0.5)
        .map(|(place, number)| copy(place, number, angle()))
        .collect()
}

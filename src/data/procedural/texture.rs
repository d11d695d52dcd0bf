//! Textures: the brightness of a motif at a point, from 0 to 1.

use super::field::{Cell, Point, bar, fractal, fraction, noise, scattered, step, triangle_wave};
use super::motif::Motif;

/// The random parameters of one image: numbers from 0 to 1, and the seed of its
/// noise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variation {
    pub(super) a: f32,
    pub(super) b: f32,
    pub(super) c: f32,
    pub(super) seed: u32,
}

impl Variation {
    fn a(&self, least: f32, most: f32) -> f32 {
        least + (most - least) * self.a
    }

    fn b(&self, least: f32, most: f32) -> f32 {
        least + (most - least) * self.b
    }

    fn c(&self, least: f32, most: f32) -> f32 {
        least + (most - least) * self.c
    }
}

/// The smallest and largest number of periods across an image.
pub(super) fn periods(motif: Motif) -> (f32, f32) {
    match motif {
        Motif::Stripes | Motif::Waves | Motif::Zigzag => (4.0, 11.0),
        Motif::Mesh | Motif::Honeycomb | Motif::Triangles | Motif::Checks => (4.0, 10.0),
        Motif::Granite => (14.0, 26.0),
        Motif::Fur => (5.0, 10.0),
        Motif::Clouds | Motif::Marble => (2.0, 5.0),
        Motif::Camouflage => (3.0, 6.0),
        Motif::Rings => (4.0, 9.0),
        Motif::Rays | Motif::Spiral => (2.0, 3.0),
        Motif::Wood => (2.0, 4.0),
        _ => (3.0, 8.0),
    }
}

/// The texture at a point; `None` if the motif is a shape.
pub(super) fn shade(motif: Motif, p: Point, v: &Variation) -> Option<f32> {
    Some(match motif {
        Motif::Stripes => bar(p.x, v.a(0.3, 0.7)),
        Motif::Waves => waves(p, v),
        Motif::Zigzag => zigzag(p, v),
        Motif::Mesh => bar(p.x, v.a(0.1, 0.25)).max(bar(p.y, v.a(0.1, 0.25))),
        Motif::Plaid => plaid(p, v),
        Motif::Weave => weave(p, v),
        Motif::Checks => step(p.scaled(1.0, v.a(0.8, 1.25)).cell().0.is_even()),
        Motif::Bricks => bricks(p, v),
        Motif::Honeycomb => step(to_hexagon_edge(p) > v.a(0.05, 0.12)),
        Motif::Triangles => triangles(p),
        Motif::Dots => dots(p, v),
        Motif::Pluses => pluses(p, v),
        Motif::Scales => scales(p, v),
        Motif::Bubbles => bubbles(p, v),
        Motif::Cells => scattered(p, v.seed).2.random(v.seed, 3),
        Motif::Cracks => cracks(p, v),
        Motif::Maze => maze(p, v),
        Motif::Diagonals => diagonals(p, v),
        Motif::Rings => bar(p.length(), v.a(0.35, 0.65)),
        Motif::Rays => bar(turns(p) * v.b(9.0, 22.0).round(), v.a(0.35, 0.65)),
        Motif::Spiral => spiral(p, v),
        Motif::Clouds => stretched(fractal(p, 4, v.seed), 2.0),
        Motif::Marble => marble(p, v),
        Motif::Wood => wood(p, v),
        Motif::Granite => (noise(p, v.seed) * 3.99).floor() / 3.0,
        Motif::Camouflage => camouflage(p, v),
        Motif::Fur => fur(p, v),
        _ => return None,
    })
}

/// The angle of a point around the origin, in turns.
fn turns(p: Point) -> f32 {
    libm::atan2f(p.y, p.x) / std::f32::consts::TAU
}

/// Stretches values away from the middle, because noise rarely reaches 0 or 1.
fn stretched(value: f32, by: f32) -> f32 {
    ((value - 0.5) * by + 0.5).clamp(0.0, 1.0)
}

fn waves(p: Point, v: &Variation) -> f32 {
    let swing = v.b(0.25, 0.6) * libm::sinf(p.y * v.c(1.5, 4.0));
    bar(p.x + swing, v.a(0.35, 0.65))
}

fn zigzag(p: Point, v: &Variation) -> f32 {
    let corner = v.b(0.5, 1.2) * triangle_wave(p.y * v.c(0.35, 0.8));
    bar(p.x + corner, v.a(0.35, 0.65))
}

fn dots(p: Point, v: &Variation) -> f32 {
    let staggered = v.b > 0.5 && p.cell().0.y & 1 == 1;
    let (_, place) = p.moved(0.5 * step(staggered), 0.0).cell();
    step(place.moved(-0.5, -0.5).length() < v.a(0.2, 0.4))
}

fn pluses(p: Point, v: &Variation) -> f32 {
    let arm = p.cell().1.moved(-0.5, -0.5);
    let (x, y) = (arm.x.abs(), arm.y.abs());
    let (long, thick) = (v.a(0.28, 0.42), v.b(0.07, 0.14));
    step(x.max(y) < long && x.min(y) < thick)
}

fn cracks(p: Point, v: &Variation) -> f32 {
    let (first, second, _) = scattered(p, v.seed);
    step(second - first > v.a(0.07, 0.16))
}

fn spiral(p: Point, v: &Variation) -> f32 {
    let direction = if v.b > 0.5 { 1.0 } else { -1.0 };
    let arms = direction * v.c(1.0, 3.99).floor();
    bar(p.length() * v.a(1.5, 2.5) + turns(p) * arms, 0.5)
}

fn marble(p: Point, v: &Variation) -> f32 {
    let bent = p.x * v.b(0.8, 1.6) + v.a(1.5, 3.0) * fractal(p, 4, v.seed);
    let vein = libm::sinf(bent * std::f32::consts::PI).abs();
    1.0 - libm::powf(vein, v.c(0.4, 0.8))
}

fn camouflage(p: Point, v: &Variation) -> f32 {
    let level = stretched(fractal(p, 3, v.seed), 2.2);
    (level * v.a(3.0, 4.99).floor()).floor() / 3.0
}

fn fur(p: Point, v: &Variation) -> f32 {
    let bend = v.b(0.0, 0.8) * noise(p.scaled(0.3, 0.3), v.seed ^ 1);
    let hairs = p.moved(bend, 0.0).scaled(v.a(3.0, 5.0), 0.35);
    stretched(noise(hairs, v.seed), 1.4)
}

fn plaid(p: Point, v: &Variation) -> f32 {
    let bands = |x: f32| 0.7 * bar(x, v.a(0.3, 0.6)) + 0.3 * bar(2.0 * x + 0.5, v.b(0.1, 0.4));
    0.5 * bands(p.x) + 0.5 * bands(p.y)
}

fn weave(p: Point, v: &Variation) -> f32 {
    let (cell, place) = p.cell();
    let strand = v.a(0.6, 0.85);
    let across = |x: f32| (x - 0.5).abs() < strand * 0.5;
    let along = |x: f32| 0.45 + 0.55 * libm::sinf(std::f32::consts::PI * x);
    match (cell.is_even(), across(place.x), across(place.y)) {
        (true, true, _) | (false, true, false) => along(place.y),
        (false, _, true) | (true, false, true) => along(place.x) * v.b(0.5, 0.9),
        _ => 0.0,
    }
}

fn bricks(p: Point, v: &Variation) -> f32 {
    let p = p.scaled(v.a(0.4, 0.6), 1.0);
    let (row, _) = p.cell();
    let shift = if row.y & 1 == 0 { 0.0 } else { 0.5 };
    let (brick, place) = p.moved(shift, 0.0).cell();
    let mortar = v.b(0.06, 0.14);
    if place.y < mortar || place.x < mortar * 0.5 {
        return 0.0;
    }
    1.0 - v.c(0.0, 0.5) * brick.random(v.seed, 5)
}

/// The distance to the edge of the hexagon around a point. Hexagons are one unit
/// wide.
fn to_hexagon_edge(p: Point) -> f32 {
    let height = 3f32.sqrt();
    let around = |p: Point| {
        let x = fraction(p.x + 0.5) - 0.5;
        let y = (fraction(p.y / height + 0.5) - 0.5) * height;
        Point { x, y }
    };
    let (even, odd) = (around(p), around(p.moved(0.5, height * 0.5)));
    let from_center = if even.length() < odd.length() {
        even
    } else {
        odd
    };
    let (x, y) = (from_center.x.abs(), from_center.y.abs());
    0.5 - x.max(0.5 * x + height * 0.5 * y)
}

fn triangles(p: Point) -> f32 {
    let y = p.y / (3f32.sqrt() * 0.5);
    let skewed = Point {
        x: p.x - 0.5 * y,
        y,
    };
    let (_, place) = skewed.cell();
    step(place.x + place.y < 1.0)
}

fn bubbles(p: Point, v: &Variation) -> f32 {
    let (home, _) = p.cell();
    for cell in home.neighbors() {
        let x = cell.x as f32 + cell.random(v.seed, 6);
        let y = cell.y as f32 + cell.random(v.seed, 7);
        let radius = v.a(0.15, 0.3) + 0.3 * cell.random(v.seed, 8).powi(2);
        let distance = p.moved(-x, -y).length();
        if distance < radius {
            return 1.0 - v.b(0.0, 0.6) * distance / radius;
        }
    }
    0.0
}

fn scales(p: Point, v: &Variation) -> f32 {
    let p = p.scaled(1.0, 4.0);
    let (home, _) = p.cell();
    // A scale covers the row below it.
    for row in [home.y - 1, home.y] {
        let shift = if row & 1 == 0 { 0.0 } else { 0.5 };
        let x = fraction(p.x + shift) - 0.5;
        let y = (p.y - row as f32) * 0.25;
        let distance = libm::hypotf(x, y);
        if distance < 0.5 {
            return 1.0 - v.a(0.5, 1.0) * libm::powf(distance / 0.5, v.b(1.0, 3.0));
        }
    }
    0.0
}

fn maze(p: Point, v: &Variation) -> f32 {
    let (cell, place) = p.cell();
    let place = if cell.random(v.seed, 9) < 0.5 {
        place
    } else {
        Point {
            x: 1.0 - place.x,
            y: place.y,
        }
    };
    let from_corner = place.length().min(place.moved(-1.0, -1.0).length());
    step((from_corner - 0.5).abs() < v.a(0.12, 0.22))
}

fn diagonals(p: Point, v: &Variation) -> f32 {
    let (cell, place) = p.cell();
    let falling = cell.random(v.seed, 4) < 0.5;
    let x = if falling { place.x } else { 1.0 - place.x };
    let from_line = (x - place.y).abs();
    step(from_line < v.a(0.15, 0.3) || from_line > 1.0 - v.a(0.0, 0.1))
}

fn wood(p: Point, v: &Variation) -> f32 {
    let grain = p.scaled(1.0, v.a(0.1, 0.25));
    let bent = fractal(grain, 3, v.seed) * v.b(0.8, 1.6);
    let rings = fraction((grain.moved(v.c(1.0, 4.0), 0.0).length() + bent) * 2.5);
    let hairs = noise(p.scaled(14.0, 0.7), v.seed ^ 2);
    (0.75 * rings + 0.25 * hairs).clamp(0.0, 1.0)
}

/// A random number of one copy of a shape.
pub(super) fn of_copy(copy: i32, seed: u32, what: u32) -> f32 {
    Cell { x: copy, y: 7 }.random(seed, what)
}

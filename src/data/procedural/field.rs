//! Points of the plane, and noise.

/// A point, in periods of the motif.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
}

impl Point {
    pub(super) fn length(self) -> f32 {
        libm::hypotf(self.x, self.y)
    }

    pub(super) fn scaled(self, x: f32, y: f32) -> Self {
        Self {
            x: self.x * x,
            y: self.y * y,
        }
    }

    pub(super) fn moved(self, x: f32, y: f32) -> Self {
        Self {
            x: self.x + x,
            y: self.y + y,
        }
    }

    pub(super) fn turned(self, angle: f32) -> Self {
        let (sin, cos) = libm::sincosf(angle);
        Self {
            x: self.x * cos - self.y * sin,
            y: self.x * sin + self.y * cos,
        }
    }

    /// On the unit lattice, with the position from the cell's corner.
    pub(super) fn cell(self) -> (Cell, Self) {
        let (x, y) = (self.x.floor(), self.y.floor());
        let cell = Cell {
            x: x as i32,
            y: y as i32,
        };
        (cell, self.moved(-x, -y))
    }
}

/// A square of the unit lattice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) x: i32,
    pub(super) y: i32,
}

impl Cell {
    /// The cell and the eight around it.
    pub(super) fn neighbors(self) -> impl Iterator<Item = Self> {
        (-1..=1).flat_map(move |y| {
            (-1..=1).map(move |x| Self {
                x: self.x.wrapping_add(x),
                y: self.y.wrapping_add(y),
            })
        })
    }

    /// Whether the sum of its coordinates is even.
    pub(super) fn is_even(self) -> bool {
        self.x.wrapping_add(self.y) & 1 == 0
    }

    /// A random number from 0 to 1 for the cell and a purpose.
    pub(super) fn random(self, seed: u32, purpose: u32) -> f32 {
        let mut hash = seed ^ purpose.wrapping_mul(0x9e37_79b9);
        for coordinate in [self.x, self.y] {
            hash ^= coordinate.cast_unsigned().wrapping_mul(0x85eb_ca6b);
            hash = (hash ^ (hash >> 16)).wrapping_mul(0x7feb_352d);
            hash = (hash ^ (hash >> 15)).wrapping_mul(0x846c_a68b);
            hash ^= hash >> 16;
        }
        // 24 bits, which an f32 holds exactly.
        (hash >> 8) as f32 / (1 << 24) as f32
    }
}

/// The fractional part, 0 to 1.
pub(super) fn fraction(x: f32) -> f32 {
    x - x.floor()
}

/// A triangle wave of period 1: 0 at whole numbers, 1 in the middle.
pub(super) fn triangle_wave(x: f32) -> f32 {
    1.0 - (2.0 * fraction(x) - 1.0).abs()
}

/// 1 if `x` is within a bar of this width around a whole number, else 0.
pub(super) fn bar(x: f32, width: f32) -> f32 {
    let from_middle = (fraction(x + 0.5) - 0.5).abs();
    step(from_middle < width * 0.5)
}

pub(super) fn step(inside: bool) -> f32 {
    if inside { 1.0 } else { 0.0 }
}

/// Value noise, 0 to 1: random at whole numbers, smooth between them.
pub(super) fn noise(p: Point, seed: u32) -> f32 {
    let (cell, place) = p.cell();
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (x, y) = (smooth(place.x), smooth(place.y));
    let at = |dx: i32, dy: i32| {
        let corner = Cell {
            x: cell.x.wrapping_add(dx),
            y: cell.y.wrapping_add(dy),
        };
        corner.random(seed, 0)
    };
    let upper = at(0, 0) + (at(1, 0) - at(0, 0)) * x;
    let lower = at(0, 1) + (at(1, 1) - at(0, 1)) * x;
    upper + (lower - upper) * y
}

/// Noise of several scales, each half the size and half the strength of the
/// previous one. From 0 to 1, mostly near the middle.
pub(super) fn fractal(p: Point, octaves: u32, seed: u32) -> f32 {
    let (mut sum, mut total, mut strength, mut p) = (0.0, 0.0, 1.0, p);
    for octave in 0..octaves {
        sum += strength * noise(p, seed.wrapping_add(octave));
        total += strength;
        strength *= 0.5;
        p = p.scaled(2.0, 2.0).moved(17.3, 9.1);
    }
    sum / total
}

/// The distances to the nearest and second nearest of random points, one in each
/// cell, and the cell of the nearest.
pub(super) fn scattered(p: Point, seed: u32) -> (f32, f32, Cell) {
    let (home, _) = p.cell();
    let (mut first, mut second, mut owner) = (f32::MAX, f32::MAX, home);
    for cell in home.neighbors() {
        let x = cell.x as f32 + 0.1 + 0.8 * cell.random(seed, 1);
        let y = cell.y as f32 + 0.1 + 0.8 * cell.random(seed, 2);
        let distance = p.moved(-x, -y).length();
        if distance < first {
            (second, first, owner) = (first, distance, cell);
        } else if distance < second {
            second = distance;
        }
    }
    (first, second, owner)
}

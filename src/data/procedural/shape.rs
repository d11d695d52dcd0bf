//! Shapes: whether a point is inside. A shape reaches about one unit from its
//! center.

use super::field::Point;
use super::motif::Motif;
use super::texture::Variation;

/// Whether the point is inside the shape; never for textures.
pub(super) fn contains(motif: Motif, p: Point, v: &Variation) -> bool {
    let (x, y) = (p.x, p.y);
    match motif {
        Motif::Disc => p.length() < 0.9,
        Motif::Ring => p.length() < 0.95 && p.length() > 0.45 + 0.2 * v.a,
        Motif::Square => x.abs().max(y.abs()) < 0.78,
        Motif::Triangle => y > -0.55 && y < 1.0 - 1.75 * x.abs(),
        Motif::Star => within_star(p, 5.0, 0.42 + 0.08 * v.a),
        Motif::Cross => {
            let thick = 0.22 + 0.12 * v.a;
            x.abs().max(y.abs()) < 0.95 && x.abs().min(y.abs()) < thick
        }
        Motif::Crescent => {
            let bite = 0.35 + 0.25 * v.a;
            p.length() < 0.95 && p.moved(-bite, 0.0).length() > 0.8
        }
        Motif::Heart => {
            let (x, y) = (x * 1.2, y * 1.2 + 0.15);
            let round = x * x + y * y - 0.75;
            round.powi(3) < x * x * y.powi(3) * 1.6
        }
        Motif::Arrow => {
            let shaft = x > -0.95 && x < 0.2 && y.abs() < 0.16 + 0.1 * v.a;
            let head = (0.1..0.95).contains(&x) && y.abs() < (0.95 - x) * 0.85;
            shaft || head
        }
        Motif::Gear => {
            let teeth = (8.0 + 4.0 * v.a).floor();
            let tooth = libm::sinf(libm::atan2f(y, x) * teeth) > 0.0;
            p.length() < if tooth { 0.95 } else { 0.72 } && p.length() > 0.15 + 0.2 * v.b
        }
        _ => false,
    }
}

/// Inner corners are at `inner` times the distance of the tips.
fn within_star(p: Point, points: f32, inner: f32) -> bool {
    let sector = std::f32::consts::TAU / points;
    let angle = libm::atan2f(p.y, p.x).rem_euclid(sector);
    // Folded onto the half sector between a tip and an inner corner.
    let angle = angle.min(sector - angle);
    let (sin, cos) = libm::sincosf(angle);
    let (x, y) = (p.length() * cos, p.length() * sin);
    let (sin, cos) = libm::sincosf(sector * 0.5);
    let (corner_x, corner_y) = (inner * cos, inner * sin);
    // Left of the edge from the tip (1, 0) to the inner corner.
    (corner_x - 1.0) * y - corner_y * (x - 1.0) > 0.0
}

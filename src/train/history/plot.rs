//! The curves of a history as an SVG image.

use std::fmt::Write;
use std::path::Path;

use crate::error::{Error, Result, shown};

use super::report::{History, save};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 520.0;

/// Space to the left of a panel for its numbers, and to the right for names.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 28.0;
const GAP: f64 = 44.0;

const BLACK: &str = "#222222";
const GRAY: &str = "#dddddd";

/// Okabe and Ito's colors, which color-blind readers can distinguish.
const COLORS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
];

impl History {
    /// The curves as an SVG image: losses at the top, all other quantities
    /// below; training as solid lines, validation dashed.
    pub fn to_svg(&self) -> String {
        let curves = self.names().into_iter().map(|name| {
            let values = self.epochs.iter().filter_map(|record| {
                let y = record.get(&name).filter(|value| value.is_finite())?;
                let x = record.epoch as f64;
                Some(Point { x, y })
            });
            Curve {
                values: values.collect(),
                name,
            }
        });
        let (losses, others): (Vec<Curve>, Vec<Curve>) =
            curves.partition(|curve| curve.quantity() == "loss");
        let panels: Vec<(&str, Vec<Curve>)> = [("loss", losses), ("metrics", others)]
            .into_iter()
            .filter(|(_, curves)| !curves.is_empty())
            .collect();
        let each = HEIGHT / panels.len().max(1) as f64;
        let mut svg = Svg::new();
        for (index, (title, curves)) in panels.iter().enumerate() {
            let all = || curves.iter().flat_map(|curve| curve.values.iter());
            let panel = Panel {
                top: index as f64 * each + TOP,
                height: each - TOP - GAP,
                x: Scale::around(all().map(|value| value.x)),
                y: Scale::around(all().map(|value| value.y)),
            };
            panel.draw_axes(title, &mut svg);
            panel.draw_curves(curves, &mut svg);
        }
        svg.text.push_str("</svg>\n");
        svg.text
    }

    /// Writes [`History::to_svg`] to a file, whose folder is made if it is
    /// missing.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the path does not end in `.svg`, and
    /// [`Error::Io`].
    pub fn save_plot(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let ending = path.extension();
        if !ending.is_some_and(|ending| ending.eq_ignore_ascii_case("svg")) {
            return Err(Error::Unsupported {
                what: "save a plot",
                reason: format!(
                    "{} does not end in .svg, and plots are saved as SVG only; use .svg",
                    shown(path)
                ),
            });
        }
        save(path, self.to_svg().as_bytes())
    }
}

/// A point on the image, whose origin is the upper left corner, or the value of
/// a curve (`y`) at an epoch (`x`).
#[derive(Clone, Copy)]
struct Point {
    x: f64,
    y: f64,
}

struct Curve {
    name: String,
    values: Vec<Point>,
}

impl Curve {
    /// The name without `val_`.
    fn quantity(&self) -> &str {
        self.name.strip_prefix("val_").unwrap_or(&self.name)
    }
}

struct Stroke {
    color: &'static str,
    width: u8,
    is_dashed: bool,
}

struct Svg {
    text: String,
}

impl Svg {
    fn new() -> Self {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        Self { text }
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{element}");
    }

    fn line(&mut self, points: impl IntoIterator<Item = Point>, stroke: &Stroke) {
        let points = points.into_iter();
        let points: Vec<String> = points
            .map(|Point { x, y }| format!("{x:.1},{y:.1}"))
            .collect();
        let points = points.join(" ");
        let Stroke { color, width, .. } = stroke;
        let dashes = if stroke.is_dashed {
            " stroke-dasharray=\"6 4\""
        } else {
            ""
        };
        self.push(format_args!(
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{color}\" \
             stroke-width=\"{width}\"{dashes}/>"
        ));
    }

    fn thin_line(&mut self, from: Point, to: Point, color: &'static str) {
        let stroke = Stroke {
            color,
            width: 1,
            is_dashed: false,
        };
        self.line([from, to], &stroke);
    }

    /// `anchor` is SVG's word for the part of the text that lies at the point.
    fn write(&mut self, text: &str, Point { x, y }: Point, anchor: &str) {
        let text = text.replace('&', "&amp;");
        let text = text.replace('<', "&lt;").replace('>', "&gt;");
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{BLACK}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }
}

struct Panel {
    top: f64,
    height: f64,
    x: Scale,
    y: Scale,
}

impl Panel {
    fn point(&self, value: Point) -> Point {
        Point {
            x: LEFT + self.x.fraction(value.x) * (WIDTH - LEFT - RIGHT),
            y: self.top + (1.0 - self.y.fraction(value.y)) * self.height,
        }
    }

    fn draw_axes(&self, title: &str, svg: &mut Svg) {
        let point = |x, y| Point { x, y };
        let (right, bottom) = (WIDTH - RIGHT, self.top + self.height);
        svg.write(title, point(LEFT, self.top - 10.0), "start");
        for tick in self.y.ticks() {
            let Point { y, .. } = self.point(point(0.0, tick));
            svg.thin_line(point(LEFT, y), point(right, y), GRAY);
            let label = self.y.label(tick);
            svg.write(&label, point(LEFT - 8.0, y + 4.0), "end");
        }
        // Epochs are whole.
        let ticks = self.x.ticks().into_iter();
        for tick in ticks.filter(|tick| tick.fract() == 0.0) {
            let Point { x, .. } = self.point(point(tick, 0.0));
            svg.thin_line(point(x, bottom), point(x, bottom + 4.0), BLACK);
            let label = format!("{tick:.0}");
            svg.write(&label, point(x, bottom + 17.0), "middle");
        }
        svg.thin_line(point(LEFT, bottom), point(right, bottom), BLACK);
        svg.write("epoch", point(right + 12.0, bottom + 4.0), "start");
    }

    /// Training and validation of a quantity have the same color.
    fn draw_curves(&self, curves: &[Curve], svg: &mut Svg) {
        let mut quantities: Vec<&str> = Vec::new();
        for (index, curve) in curves.iter().enumerate() {
            let quantity = curve.quantity();
            let found = quantities.iter().position(|known| *known == quantity);
            let color = found.unwrap_or_else(|| {
                quantities.push(quantity);
                quantities.len() - 1
            });
            let stroke = Stroke {
                color: COLORS[color % COLORS.len()],
                width: 2,
                is_dashed: quantity != curve.name,
            };
            svg.line(curve.values.iter().map(|&value| self.point(value)), &stroke);
            let (x, y) = (WIDTH - RIGHT + 12.0, self.top + 6.0 + 16.0 * index as f64);
            svg.line([Point { x, y }, Point { x: x + 22.0, y }], &stroke);
            let (x, y) = (x + 28.0, y + 4.0);
            svg.write(&curve.name, Point { x, y }, "start");
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Scale {
    low: f64,
    high: f64,
    step: f64,
}

impl Scale {
    /// Round steps, 4 to 10 of them, around these values. Values that are not
    /// finite are left out.
    fn around(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low <= high.abs() * 1e-9 {
            (low, high) = (low - 0.5, high + 0.5);
        }
        let rough = (high - low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let factor = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .find(|factor| factor * power >= rough)
            .unwrap_or(10.0);
        let step = factor * power;
        Self {
            low: (low / step).floor() * step,
            high: (high / step).ceil() * step,
            step,
        }
    }

    fn ticks(&self) -> Vec<f64> {
        let count = ((self.high - self.low) / self.step)
            .round()
            .clamp(1.0, 20.0) as u32;
        let ticks = (0..=count).map(|index| self.low + f64::from(index) * self.step);
        ticks.collect()
    }

    /// Where a value lies between 0, the lowest, and 1, the highest.
    fn fraction(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// A tick with as many digits as the step has.
    fn label(&self, tick: f64) -> String {
        let digits = (-self.step.log10().floor()).clamp(0.0, 9.0) as usize;
        let tick = if tick.abs() < self.step / 2.0 {
            0.0
        } else {
            tick
        };
        format!("{tick:.digits$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let labels = |values: &[f64]| -> Vec<String> {
            let scale = Scale::around(values.iter().copied());
            scale
                .ticks()
                .iter()
                .map(|&tick| scale.label(tick))
                .collect()
        };
        assert_eq!(
            labels(&[0.13, 0.98]),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(
            labels(&[-3.0, 12.0, f64::NAN]),
            ["-5", "0", "5", "10", "15"]
        );
        assert_eq!(
            labels(&[2.0, 2.0]),
            ["1.4", "1.6", "1.8", "2.0", "2.2", "2.4", "2.6"]
        );
        assert_eq!(labels(&[])[0], "0.0");
    }
}

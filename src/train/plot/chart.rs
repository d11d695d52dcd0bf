//! The lines and texts of a chart, for any format.

use crate::train::history::History;

use super::scale::Scale;

pub(super) const WIDTH: f64 = 720.0;
pub(super) const HEIGHT: f64 = 520.0;

/// Space to the left of a panel for its numbers, and to the right for names.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 28.0;
const GAP: f64 = 44.0;

pub(super) type Color = [u8; 3];

const BLACK: Color = [34, 34, 34];
const GRAY: Color = [221, 221, 221];

/// Okabe and Ito's colors, which color-blind readers can distinguish.
const COLORS: [Color; 6] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [230, 159, 0],
    [86, 180, 233],
];

/// A point on the chart; the origin is the upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// A thing to draw.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mark {
    Line {
        points: Vec<Point>,
        color: Color,
        width: f64,
        is_dashed: bool,
    },
    Text {
        at: Point,
        text: String,
        color: Color,
        anchor: Anchor,
    },
}

/// Which part of a text lies at its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// One quantity over the epochs.
struct Curve {
    name: String,
    values: Vec<EpochValue>,
}

/// A value at the end of an epoch.
struct EpochValue {
    epoch: f64,
    value: f64,
}

/// A rectangle with axes.
struct Panel {
    top: f64,
    height: f64,
    x: Scale,
    y: Scale,
}

pub(super) fn draw(history: &History) -> Vec<Mark> {
    let curves = history.names().into_iter().map(|name| {
        let epochs = history.epochs.iter();
        let values = epochs.filter_map(|record| {
            let epoch = record.epoch as f64;
            let value = record.get(&name).filter(|value| value.is_finite())?;
            Some(EpochValue { epoch, value })
        });
        Curve {
            values: values.collect(),
            name,
        }
    });
    let (losses, others): (Vec<Curve>, Vec<Curve>) =
        curves.partition(|curve| base(&curve.name) == "loss");
    let panels: Vec<(&str, Vec<Curve>)> = [("loss", losses), ("metrics", others)]
        .into_iter()
        .filter(|(_, curves)| !curves.is_empty())
        .collect();
    let each = HEIGHT / panels.len().max(1) as f64;
    let mut marks = Vec::new();
    for (index, (title, curves)) in panels.iter().enumerate() {
        let all = || curves.iter().flat_map(|curve| curve.values.iter());
        let panel = Panel {
            top: index as f64 * each + TOP,
            height: each - TOP - GAP,
            x: Scale::around(all().map(|value| value.epoch)),
            y: Scale::around(all().map(|value| value.value)),
        };
        panel.axes(title, &mut marks);
        panel.curves(curves, &mut marks);
    }
    marks
}

fn base(name: &str) -> &str {
    name.strip_prefix("val_").unwrap_or(name)
}

impl Panel {
    fn x(&self, epoch: f64) -> f64 {
        LEFT + self.x.fraction(epoch) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        self.top + (1.0 - self.y.fraction(value)) * self.height
    }

    fn axes(&self, title: &str, marks: &mut Vec<Mark>) {
        let text = |x, y, text: String, anchor| Mark::Text {
            at: Point { x, y },
            text,
            color: BLACK,
            anchor,
        };
        let line = |from, to, color| Mark::Line {
            points: vec![from, to],
            color,
            width: 1.0,
            is_dashed: false,
        };
        let (right, bottom) = (WIDTH - RIGHT, self.top + self.height);
        marks.push(text(
            LEFT,
            self.top - 10.0,
            title.to_string(),
            Anchor::Start,
        ));
        for tick in self.y.ticks() {
            let y = self.y(tick);
            marks.push(line(Point { x: LEFT, y }, Point { x: right, y }, GRAY));
            marks.push(text(LEFT - 8.0, y + 4.0, self.y.label(tick), Anchor::End));
        }
        // Epochs are whole.
        let whole = self
            .x
            .ticks()
            .into_iter()
            .filter(|tick| tick.fract() == 0.0);
        for tick in whole {
            let x = self.x(tick);
            let (from, to) = (bottom, bottom + 4.0);
            marks.push(line(Point { x, y: from }, Point { x, y: to }, BLACK));
            marks.push(text(x, bottom + 17.0, format!("{tick:.0}"), Anchor::Middle));
        }
        let (from, to) = (LEFT, right);
        let y = bottom;
        marks.push(line(Point { x: from, y }, Point { x: to, y }, BLACK));
        marks.push(text(
            right + 12.0,
            bottom + 4.0,
            "epoch".to_string(),
            Anchor::Start,
        ));
    }

    fn curves(&self, curves: &[Curve], marks: &mut Vec<Mark>) {
        let mut bases: Vec<&str> = Vec::new();
        for (index, curve) in curves.iter().enumerate() {
            let own = base(&curve.name);
            let found = bases.iter().position(|base| *base == own);
            let index_of_color = found.unwrap_or_else(|| {
                bases.push(own);
                bases.len() - 1
            });
            let color = COLORS[index_of_color % COLORS.len()];
            let is_dashed = own != curve.name;
            let drawn = |points| Mark::Line {
                points,
                color,
                width: 2.0,
                is_dashed,
            };
            let points = curve.values.iter().map(|value| Point {
                x: self.x(value.epoch),
                y: self.y(value.value),
            });
            marks.push(drawn(points.collect()));
            let (x, y) = (WIDTH - RIGHT + 12.0, self.top + 6.0 + 16.0 * index as f64);
            marks.push(drawn(vec![Point { x, y }, Point { x: x + 22.0, y }]));
            marks.push(Mark::Text {
                at: Point {
                    x: x + 28.0,
                    y: y + 4.0,
                },
                text: curve.name.clone(),
                color: BLACK,
                anchor: Anchor::Start,
            });
        }
    }
}

//! What is drawn, whatever it is drawn with.

use crate::train::history::History;

use super::scale::Scale;

pub(super) const WIDTH: f64 = 720.0;
pub(super) const HEIGHT: f64 = 520.0;

/// Room to the left of a panel for its numbers, and to the right for names.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 28.0;
const GAP: f64 = 44.0;

pub(super) type Colour = [u8; 3];

const BLACK: Colour = [34, 34, 34];
const GREY: Colour = [221, 221, 221];

/// Okabe and Ito's colours, which the colour-blind tell apart.
const COLOURS: [Colour; 6] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [230, 159, 0],
    [86, 180, 233],
];

/// A thing to draw; the origin is the upper left corner.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mark {
    Line {
        points: Vec<(f64, f64)>,
        colour: Colour,
        width: f64,
        is_dashed: bool,
    },
    Text {
        at: (f64, f64),
        text: String,
        colour: Colour,
        anchor: Anchor,
    },
}

/// Which part of a text lies at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// One quantity over the epochs.
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
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
        let points = epochs.filter_map(|epoch| Some((epoch.epoch as f64, epoch.get(&name)?)));
        Curve {
            points: points.filter(|(_, value)| value.is_finite()).collect(),
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
        let all = || curves.iter().flat_map(|curve| curve.points.iter());
        let panel = Panel {
            top: index as f64 * each + TOP,
            height: each - TOP - GAP,
            x: Scale::around(all().map(|point| point.0)),
            y: Scale::around(all().map(|point| point.1)),
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
        LEFT + self.x.place(epoch) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        self.top + (1.0 - self.y.place(value)) * self.height
    }

    fn axes(&self, title: &str, marks: &mut Vec<Mark>) {
        let text = |at, text: String, anchor| Mark::Text {
            at,
            text,
            colour: BLACK,
            anchor,
        };
        let line = |points, colour| Mark::Line {
            points,
            colour,
            width: 1.0,
            is_dashed: false,
        };
        let (right, bottom) = (WIDTH - RIGHT, self.top + self.height);
        marks.push(text(
            (LEFT, self.top - 10.0),
            title.to_string(),
            Anchor::Start,
        ));
        for tick in self.y.ticks() {
            let y = self.y(tick);
            marks.push(line(vec![(LEFT, y), (right, y)], GREY));
            marks.push(text((LEFT - 8.0, y + 4.0), self.y.label(tick), Anchor::End));
        }
        // Epochs are whole.
        let whole = self
            .x
            .ticks()
            .into_iter()
            .filter(|tick| tick.fract() == 0.0);
        for tick in whole {
            let x = self.x(tick);
            marks.push(line(vec![(x, bottom), (x, bottom + 4.0)], BLACK));
            marks.push(text(
                (x, bottom + 17.0),
                format!("{tick:.0}"),
                Anchor::Middle,
            ));
        }
        marks.push(line(vec![(LEFT, bottom), (right, bottom)], BLACK));
        marks.push(text(
            (right + 12.0, bottom + 4.0),
            "epoch".to_string(),
            Anchor::Start,
        ));
    }

    fn curves(&self, curves: &[Curve], marks: &mut Vec<Mark>) {
        let mut bases: Vec<&str> = Vec::new();
        for (index, curve) in curves.iter().enumerate() {
            let own = base(&curve.name);
            let place = bases
                .iter()
                .position(|base| *base == own)
                .unwrap_or_else(|| {
                    bases.push(own);
                    bases.len() - 1
                });
            let colour = COLOURS[place % COLOURS.len()];
            let is_dashed = own != curve.name;
            let drawn = |points| Mark::Line {
                points,
                colour,
                width: 2.0,
                is_dashed,
            };
            let points = curve.points.iter();
            marks.push(drawn(
                points.map(|&(x, y)| (self.x(x), self.y(y))).collect(),
            ));
            let (x, y) = (WIDTH - RIGHT + 12.0, self.top + 6.0 + 16.0 * index as f64);
            marks.push(drawn(vec![(x, y), (x + 22.0, y)]));
            marks.push(Mark::Text {
                at: (x + 28.0, y + 4.0),
                text: curve.name.clone(),
                colour: BLACK,
                anchor: Anchor::Start,
            });
        }
    }
}

use std::fmt::Write;

use super::chart::{Anchor, Color, HEIGHT, Mark, Point, WIDTH};

pub(super) fn render(marks: &[Mark]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for mark in marks {
        svg.push_str(&element(mark));
        svg.push('\n');
    }
    svg.push_str("</svg>\n");
    svg
}

fn element(mark: &Mark) -> String {
    match mark {
        Mark::Line {
            points,
            color,
            width,
            is_dashed,
        } => {
            let mut list = String::new();
            for Point { x, y } in points {
                // Writing to a string does not fail.
                let _ = write!(list, "{x:.1},{y:.1} ");
            }
            let dashes = if *is_dashed {
                " stroke-dasharray=\"6 4\""
            } else {
                ""
            };
            format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\"{dashes}/>",
                list.trim_end(),
                hex(*color)
            )
        }
        Mark::Text {
            at: Point { x, y },
            text,
            color,
            anchor,
        } => {
            let anchor = match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            };
            format!(
                "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                hex(*color),
                escaped(text)
            )
        }
    }
}

fn hex([red, green, blue]: Color) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

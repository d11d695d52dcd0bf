use std::fmt::Write;

use crate::graph::{Graph, Node};

use super::plot::escaped;

/// Pixels from one layer to the next, and of a layer's box.
const ROW: usize = 44;
const BOX_HEIGHT: usize = 32;
const BOX_WIDTH: usize = 380;
/// Where boxes begin: what bypasses them runs to the left.
const LEFT: usize = 110;

/// A network as an SVG picture: a box for each layer from the top, lines for
/// values; those that bypass layers run beside them.
pub(super) fn diagram(graph: &Graph) -> String {
    let nodes: Vec<&Node> = graph.nodes().collect();
    let (width, height) = (LEFT + BOX_WIDTH + 10, ROW * nodes.len() + 4);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"12\" style=\"max-width:{width}px\">\n\
         <title>the layers of {}</title>\n",
        escaped(graph.name())
    );
    for (row, node) in nodes.iter().enumerate() {
        for input in node.inputs() {
            if let Some(from) = nodes.iter().position(|other| other.id() == *input) {
                line(&mut svg, from, row);
            }
        }
    }
    for (row, node) in nodes.iter().enumerate() {
        layer(&mut svg, node, row);
    }
    svg.push_str("</svg>\n");
    svg
}

fn line(svg: &mut String, from: usize, to: usize) {
    let bottom = from * ROW + 2 + BOX_HEIGHT;
    let top = to * ROW + 2;
    let stroke = "fill=\"none\" stroke=\"#6b7280\" stroke-width=\"1.5\"";
    let _ = if to == from + 1 {
        let x = LEFT + BOX_WIDTH / 2;
        writeln!(svg, "<path d=\"M{x} {bottom}V{top}\" {stroke}/>")
    } else {
        let (start, end) = (bottom - BOX_HEIGHT / 2, top + BOX_HEIGHT / 2);
        let reach = LEFT.saturating_sub(20 + 8 * (to - from)).max(6);
        writeln!(
            svg,
            "<path d=\"M{LEFT} {start}C{reach} {start} {reach} {end} {LEFT} {end}\" {stroke}/>"
        )
    };
}

fn layer(svg: &mut String, node: &Node, row: usize) {
    let (fill, border) = if node.parameters().is_empty() {
        ("#f5f5f5", "#9e9e9e")
    } else if node.is_frozen() {
        ("#e0f2f1", "#00897b")
    } else {
        ("#ffedd5", "#ea580c")
    };
    let top = row * ROW + 2;
    let baseline = top + 21;
    let _ = writeln!(
        svg,
        "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"5\" \
         fill=\"{fill}\" stroke=\"{border}\"/>\n\
         <text x=\"{}\" y=\"{baseline}\" font-weight=\"bold\" fill=\"#111827\">{}</text>\n\
         <text x=\"{}\" y=\"{baseline}\" text-anchor=\"end\" fill=\"#374151\">{} {}</text>",
        LEFT + 10,
        escaped(node.name()),
        LEFT + BOX_WIDTH - 10,
        escaped(node.layer().kind()),
        node.shape()
    );
}

const COLOURS: [&str; 6] = [
    "#2563eb", "#ea580c", "#00897b", "#9333ea", "#b91c1c", "#525252",
];

/// Curves over epochs as an SVG picture; values that are not finite leave a
/// gap.
pub(super) fn curves(named: &[(String, Vec<f64>)]) -> String {
    const WIDTH: f64 = 600.0;
    const HEIGHT: f64 = 220.0;
    let values = || named.iter().flat_map(|(_, values)| values);
    let finite = || values().copied().filter(|value| value.is_finite());
    let low = finite().fold(f64::INFINITY, f64::min).min(0.0);
    let high = finite().fold(f64::NEG_INFINITY, f64::max).max(low + 1e-9);
    let longest = named.iter().map(|(_, values)| values.len()).max();
    let last = longest.unwrap_or(1).max(2) - 1;
    let x = |index: usize| 50.0 + (WIDTH - 60.0) * index as f64 / last as f64;
    let y = |value: f64| HEIGHT - 10.0 - (HEIGHT - 20.0) * (value - low) / (high - low);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<title>curves over epochs</title>\n\
         <path d=\"M50 5V{}H{}\" fill=\"none\" stroke=\"#9ca3af\"/>\n\
         <text x=\"44\" y=\"16\" text-anchor=\"end\" fill=\"#6b7280\">{high:.3}</text>\n\
         <text x=\"44\" y=\"{}\" text-anchor=\"end\" fill=\"#6b7280\">{low:.3}</text>\n",
        HEIGHT + 20.0 * named.len() as f64,
        HEIGHT - 10.0,
        WIDTH - 10.0,
        HEIGHT - 8.0
    );
    for (index, (name, values)) in named.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let mut path = String::new();
        let mut is_down = false;
        for (epoch, value) in values.iter().enumerate() {
            if value.is_finite() {
                let command = if is_down { 'L' } else { 'M' };
                let _ = write!(path, "{command}{:.1} {:.1}", x(epoch), y(*value));
            }
            is_down = value.is_finite();
        }
        let below = HEIGHT + 20.0 * index as f64 + 10.0;
        let _ = writeln!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <rect x=\"50\" y=\"{}\" width=\"14\" height=\"4\" fill=\"{colour}\"/>\n\
             <text x=\"70\" y=\"{below}\" fill=\"#374151\">{}</text>",
            below - 6.0,
            escaped(name)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

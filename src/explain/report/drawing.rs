use std::fmt::Write;

use crate::explain::markup::escaped;
use crate::graph::{Graph, Node, Style, style};

/// Pixels from one layer to the next, and of a layer's box.
const ROW: usize = 44;
const BOX_HEIGHT: usize = 32;
const BOX_WIDTH: usize = 380;
/// Where boxes begin: alone, and where lines that bypass them run to the left.
const MARGIN: usize = 4;
const LEFT: usize = 110;

/// A network as an SVG image: a box for each layer from the top, lines for
/// values; those that bypass layers run beside them.
pub(super) fn diagram(graph: &Graph) -> String {
    let nodes: Vec<&Node> = graph.nodes().collect();
    let lines = lines(&nodes);
    let bypassed = lines.iter().any(|(from, to)| to - from > 1);
    let left = if bypassed { LEFT } else { MARGIN };
    let (width, height) = (left + BOX_WIDTH + MARGIN, ROW * nodes.len() + 4);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"13\" style=\"max-width:{width}px\">\n\
         <title>the layers of {}</title>\n",
        escaped(graph.name())
    );
    for (from, to) in lines {
        line(&mut svg, left, (from, to));
    }
    for (row, node) in nodes.iter().enumerate() {
        layer(&mut svg, node, (left, row));
    }
    svg.push_str("</svg>\n");
    svg
}

/// The rows that values go from and to.
fn lines(nodes: &[&Node]) -> Vec<(usize, usize)> {
    let rows = nodes.iter().enumerate().flat_map(|(to, node)| {
        let inputs = node.inputs().iter();
        inputs.filter_map(move |input| {
            let from = nodes.iter().position(|other| other.id() == *input)?;
            Some((from, to))
        })
    });
    rows.collect()
}

fn line(svg: &mut String, left: usize, (from, to): (usize, usize)) {
    let bottom = from * ROW + 2 + BOX_HEIGHT;
    let top = to * ROW + 2;
    let stroke = "fill=\"none\" stroke=\"#6b7280\" stroke-width=\"1.5\"";
    let _ = if to == from + 1 {
        let x = left + BOX_WIDTH / 2;
        writeln!(svg, "<path d=\"M{x} {bottom}V{top}\" {stroke}/>")
    } else {
        let (start, end) = (bottom - BOX_HEIGHT / 2, top + BOX_HEIGHT / 2);
        let reach = left.saturating_sub(20 + 8 * (to - from)).max(6);
        writeln!(
            svg,
            "<path d=\"M{left} {start}C{reach} {start} {reach} {end} {left} {end}\" {stroke}/>"
        )
    };
}

fn layer(svg: &mut String, node: &Node, (left, row): (usize, usize)) {
    let Style { fill, border, .. } = style(node);
    let top = row * ROW + 2;
    let baseline = top + 21;
    let _ = writeln!(
        svg,
        "<rect x=\"{left}\" y=\"{top}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"5\" \
         fill=\"{fill}\" stroke=\"{border}\"/>\n\
         <text x=\"{}\" y=\"{baseline}\" font-weight=\"bold\" fill=\"#111827\">{}</text>\n\
         <text x=\"{}\" y=\"{baseline}\" text-anchor=\"end\" fill=\"#374151\">{} {}</text>",
        left + 10,
        escaped(node.name()),
        left + BOX_WIDTH - 10,
        escaped(node.layer().kind()),
        node.shape()
    );
}

use std::fmt::Write;

use crate::explain::markup::escaped;
use crate::graph::{Graph, Node, Style, style};

/// The distance between layers and the size of a layer's box, in pixels.
const ROW: usize = 44;
const BOX_HEIGHT: usize = 32;
const BOX_WIDTH: usize = 380;
/// The left margin without and with lines that bypass layers, in pixels.
const MARGIN: usize = 4;
const LEFT: usize = 110;

/// A network as an SVG image, from the top: a box for each layer and a line for
/// each connection. Lines that bypass layers run beside the boxes.
pub(super) fn diagram(graph: &Graph) -> String {
    let edges = graph.edges();
    let bypassed = edges.iter().any(|(from, to)| to - from > 1);
    let left = if bypassed { LEFT } else { MARGIN };
    let (width, height) = (left + BOX_WIDTH + MARGIN, ROW * graph.nodes().count() + 4);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"13\" style=\"max-width:{width}px\">\n\
         <title>the layers of {}</title>\n",
        escaped(graph.name())
    );
    for edge in edges {
        line(&mut svg, left, edge);
    }
    for (row, node) in graph.nodes().enumerate() {
        layer(&mut svg, node, (left, row));
    }
    svg.push_str("</svg>\n");
    svg
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

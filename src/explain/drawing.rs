use std::fmt::Write;

use crate::graph::{Graph, Node, Style, style};

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
    let Style { fill, border, .. } = style(node);
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

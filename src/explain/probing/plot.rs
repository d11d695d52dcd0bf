use std::fmt::Write;

use crate::explain::markup::escaped;

use super::probe::ProbeReport;

/// Height of a row, width of the names and width of the chart, in pixels.
const ROW: usize = 28;
const NAMES: usize = 120;
const WIDTH: usize = 440;

impl ProbeReport {
    /// The report as an SVG bar chart, with a bar for each layer, dots for its
    /// folds and a dashed line for chance.
    pub fn to_svg(&self) -> String {
        let height = ROW * self.rows.len() + 40;
        let span = (WIDTH - NAMES - 65) as f64;
        let at = |accuracy: f64| NAMES as f64 + span * accuracy;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             role=\"img\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <title>accuracy of a linear probe on each layer</title>\n"
        );
        for (index, row) in self.rows.iter().enumerate() {
            let top = ROW * index + 8;
            let middle = top + 9;
            let accuracy = row.accuracy();
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#374151\">{}</text>\n\
                 <rect x=\"{NAMES}\" y=\"{top}\" width=\"{:.1}\" height=\"18\" fill=\"#60a5fa\"/>\n\
                 <text x=\"{:.1}\" y=\"{}\" fill=\"#374151\">{:.1} %</text>",
                NAMES - 8,
                middle + 5,
                escaped(&row.layer),
                span * accuracy,
                at(1.0) + 8.0,
                middle + 5,
                100.0 * accuracy
            );
            for fold in &row.folds {
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{middle}\" r=\"2.5\" fill=\"#1e3a8a\"/>",
                    at(*fold)
                );
            }
        }
        let bottom = ROW * self.rows.len() + 8;
        let _ = writeln!(
            svg,
            "<line x1=\"{0:.1}\" y1=\"2\" x2=\"{0:.1}\" y2=\"{bottom}\" stroke=\"#dc2626\" \
             stroke-dasharray=\"4 3\"/>\n\
             <text x=\"{0:.1}\" y=\"{1}\" text-anchor=\"middle\" fill=\"#dc2626\">chance</text>\n\
             </svg>",
            at(self.chance),
            bottom + 18
        );
        svg
    }
}

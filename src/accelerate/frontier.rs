use std::fmt::{self, Write};

use crate::model::Model;

use super::report::AccelerationReport;

/// Networks of several speeds, made with one calibration. Prints as a table.
#[derive(Debug)]
#[non_exhaustive]
pub struct Frontier {
    /// The networks, in the order in which they were asked for.
    pub points: Vec<FrontierPoint>,
}

/// One network of a frontier.
#[derive(Debug)]
#[non_exhaustive]
pub struct FrontierPoint {
    /// The speed-up that was asked for, or the factor of multiplications or
    /// parameters.
    pub factor: f64,
    /// The network.
    pub model: Model,
    /// What was lost, and what was gained.
    pub report: AccelerationReport,
}

/// Width, height and margin of the chart, in pixels.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
const MARGIN: f64 = 60.0;

impl FrontierPoint {
    /// The R2 at the last block.
    fn r2(&self) -> f64 {
        self.report.blocks.last().map_or(f64::NAN, |block| block.r2)
    }

    /// Milliseconds of a batch of 1.
    fn ms(&self) -> f64 {
        self.report.speed.first().map_or(f64::NAN, |speed| speed.ms)
    }
}

/// Where values are on the chart.
struct Chart {
    most_ms: f64,
    least_r2: f64,
}

impl Chart {
    fn x(&self, ms: f64) -> f64 {
        MARGIN + (WIDTH - 1.5 * MARGIN) * (ms / self.most_ms).clamp(0.0, 1.1)
    }

    fn y(&self, r2: f64) -> f64 {
        MARGIN / 2.0 + (HEIGHT - 1.5 * MARGIN) * (1.0 - r2) / (1.0 - self.least_r2)
    }

    fn axes(&self) -> String {
        let (left, bottom, top) = (MARGIN, HEIGHT - MARGIN, MARGIN / 2.0);
        let mut svg = format!(
            "<path d=\"M{left} {top} V{bottom} H{}\" fill=\"none\" stroke=\"#9ca3af\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">ms, batch 1</text>\n\
             <text x=\"8\" y=\"{}\">R2</text>\n",
            WIDTH - top,
            WIDTH / 2.0,
            HEIGHT - 16.0,
            top - 10.0
        );
        for tick in 0..5 {
            let part = f64::from(tick) / 4.0;
            let ms = self.most_ms * part;
            let r2 = self.least_r2 + (1.0 - self.least_r2) * part;
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{ms:.0}</text>\n\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{r2:.2}</text>",
                self.x(ms),
                bottom + 18.0,
                left - 6.0,
                self.y(r2) + 4.0
            );
        }
        svg
    }

    fn spot(&self, ms: f64, r2: f64, label: &str) -> String {
        let (x, y) = (self.x(ms), self.y(r2));
        format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"#2563eb\"/>\n\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>\n",
            y + 18.0
        )
    }
}

impl Frontier {
    /// An SVG chart: R2 at the last block over milliseconds of a batch of 1.
    pub fn to_svg(&self) -> String {
        let first = self
            .points
            .first()
            .and_then(|point| point.report.speed.first());
        let r2s = self.points.iter().map(FrontierPoint::r2);
        let chart = Chart {
            most_ms: first.map_or(1.0, |speed| speed.ms_before),
            least_r2: (r2s.fold(1.0, f64::min) - 0.02).clamp(-1.0, 0.98),
        };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             role=\"img\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#374151\">\n\
             <title>R2 at the last block over milliseconds</title>\n"
        );
        svg.push_str(&chart.axes());
        svg.push_str(&chart.spot(chart.most_ms, 1.0, "1x"));
        for point in self.points.iter().filter(|point| point.r2().is_finite()) {
            let label = format!("{}x", point.factor);
            svg.push_str(&chart.spot(point.ms(), point.r2(), &label));
        }
        svg.push_str("</svg>\n");
        svg
    }
}

impl fmt::Display for Frontier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
            "speed-up", "batch 1", "batch 8", "ms", "MACs", "R2"
        )?;
        for point in &self.points {
            let speed = |index: usize| {
                let found = point.report.speed.get(index);
                found.map_or(f64::NAN, |speed| speed.speedup)
            };
            writeln!(
                f,
                "{:>8} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.4}",
                point.factor,
                speed(0),
                speed(1),
                point.ms(),
                point.report.macs,
                point.r2()
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use crate::accelerate::report::{BlockReport, SpeedReport};
    use crate::vgg::Vgg16;

    use super::*;

    fn point(speedup: f64, r2: f64) -> FrontierPoint {
        let graph = Vgg16::nano().truncate("block1_pool").unwrap();
        let speed = |batch| SpeedReport {
            batch,
            ms_before: 40.0,
            ms: 40.0 / speedup,
            speedup,
            predicted: None,
        };
        let report = AccelerationReport {
            layers: Vec::new(),
            blocks: vec![BlockReport {
                layer: "block1_conv2".to_string(),
                r2,
                cosine: 1.0,
            }],
            speed: vec![speed(1), speed(8)],
            macs: 2.0,
            parameters: 2.0,
            bytes_before: 2,
            bytes: 1,
            top1: None,
            held_out: None,
            steps: 0,
            seconds: 1.0,
            parts: Vec::new(),
        };
        FrontierPoint {
            factor: speedup,
            model: graph.build(&Device::Cpu).unwrap(),
            report,
        }
    }

    #[test]
    fn faster_networks_are_to_the_left_and_worse_ones_below() {
        let frontier = Frontier {
            points: vec![point(2.0, 0.98), point(4.0, 0.9)],
        };
        let svg = frontier.to_svg();
        let circles = svg.lines().filter(|line| line.starts_with("<circle"));
        let number = |line: &str, name: &str| -> f64 {
            let rest = line.split_once(&format!("{name}=\"")).unwrap().1;
            rest.split_once('"').unwrap().0.parse().unwrap()
        };
        let spots: Vec<(f64, f64)> = circles
            .map(|line| (number(line, "cx"), number(line, "cy")))
            .collect();
        assert_eq!(spots.len(), 3);
        for pair in spots.windows(2) {
            assert!(pair[1].0 < pair[0].0 && pair[1].1 > pair[0].1, "{spots:?}");
        }
        assert!(svg.contains(">4x<"));
        let table = frontier.to_string();
        assert_eq!(table.lines().count(), 3);
        assert!(table.lines().nth(2).unwrap().contains("0.9000"), "{table}");
    }
}

use std::fmt::Write;
use std::path::Path;

use crate::error::Result;
use crate::explain::display::Sheet;
use crate::explain::features::{ActivationSheet, Activations, ChannelStatistics, filter_images};
use crate::explain::markup::escaped;
use crate::explain::probing::ProbeReport;
use crate::explain::space::Space;
use crate::files::write_atomically;
use crate::graph::NodeRef;
use crate::model::Model;
use crate::preprocess::Image;

use super::drawing::diagram;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}\
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.5rem;border-bottom:1px solid #9ca3af}\
nav{display:flex;flex-wrap:wrap;gap:.2rem 1rem}\
.wide{overflow-x:auto}pre{font-size:.8rem;line-height:1.35}\
figure{margin:1rem 0}figcaption{font-size:.9rem}\
figure img{max-width:100%;image-rendering:pixelated}\
figure img.plot{width:100%;min-width:34rem;max-width:45rem;border-radius:6px}\
svg{width:100%;max-width:36rem;height:auto;background:#fff;border-radius:6px}\
table{border-collapse:collapse;font-size:.85rem}td,th{padding:.15rem .6rem;text-align:right}\
td:first-child,th:first-child{text-align:left}";

/// The channels shown of each layer: as many as fit on a phone.
const SHOWN: usize = 16;

/// One HTML file that shows a model. It loads nothing and runs no script.
///
/// ```
/// use candle_core::Device;
/// use vgg_surgery::explain::Report;
/// use vgg_surgery::{Image, Preprocessing, Vgg16};
///
/// let graph = Vgg16::options().widths(16).untrained(0)?.truncate("block2_pool")?;
/// let model = graph.with_preprocessing(Preprocessing::caffe()).build(&Device::Cpu)?;
/// let image = Image::from_rgb8(32, 32, vec![99; 32 * 32 * 3])?;
/// let html = Report::new(&model)
///     .filters("block1_conv1")?
///     .activations("block2_conv2", &image)?
///     .to_html();
/// assert!(html.starts_with("<!DOCTYPE html>"));
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Report<'a> {
    model: &'a Model,
    title: String,
    sections: Vec<Section>,
}

#[derive(Clone, Debug)]
struct Section {
    heading: &'static str,
    html: String,
}

impl<'a> Report<'a> {
    /// A page with the layers and their sizes, the edits with their contracts,
    /// and the origin of every parameter.
    pub fn new(model: &'a Model) -> Self {
        let graph = model.graph();
        let mut report = Self {
            model,
            title: graph.name().to_string(),
            sections: Vec::new(),
        };
        let legend = "<p>Orange: new. Blue: pretrained and trainable. Green: frozen. Gray: no \
                      parameters.</p>";
        report.add("Diagram", &format!("{legend}{}", diagram(graph)));
        report.add_text("Summary", &graph.summary().to_string());
        if !graph.operations().is_empty() {
            report.add_text("Operations", &graph.operations().to_string());
        }
        report.add_text("Plan", &graph.plan().to_string());
        let provenance = graph.provenance();
        let lines: Vec<String> = provenance.iter().map(ToString::to_string).collect();
        report.add_text("Parameters", &lines.join("\n"));
        report.add_text("Input", &input_text(model));
        report
    }

    /// Sets the title; by default the network's name.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Adds the filters of a convolution with three input channels.
    ///
    /// # Errors
    /// As [`filter_images`].
    pub fn filters(mut self, layer: &str) -> Result<Self> {
        let sheet = Sheet::new()
            .cell(24)
            .arrange(&filter_images(self.model, layer)?)?;
        self.add_image("Filters", layer, &sheet)?;
        Ok(self)
    }

    /// Adds the most active channels of a layer for an image, and how many
    /// channels are dead or saturated.
    ///
    /// # Errors
    /// As [`Activations::of`];
    /// [`Error::Unsupported`](crate::Error::Unsupported) if the model has no
    /// preprocessing.
    pub fn activations(mut self, layer: impl NodeRef, image: &Image) -> Result<Self> {
        let space = Space::of(self.model)?;
        let resized = self.model.graph().input_preprocessing()?.fit(image)?;
        let x = space.input(&resized)?;
        let activations = Activations::of(self.model, layer, &x)?;
        let options = ActivationSheet::new()
            .channels(SHOWN)
            .layout(Sheet::new().cell(72));
        let statistics = activations.statistics();
        let count = |is: fn(&ChannelStatistics) -> bool| {
            statistics.iter().filter(|channel| is(channel)).count()
        };
        let caption = format!(
            "{}: the {} most active of {} channels; {} dead, {} saturated on this image",
            activations.layer(),
            SHOWN.min(activations.channels()),
            activations.channels(),
            count(ChannelStatistics::is_dead),
            count(ChannelStatistics::is_saturated)
        );
        self.add_image("Feature maps", &caption, &activations.sheet(0, &options)?)?;
        Ok(self)
    }

    /// Adds an image with a caption.
    ///
    /// # Errors
    /// As [`Image::to_png`].
    pub fn image(mut self, caption: &str, image: &Image) -> Result<Self> {
        self.add_image("Images", caption, image)?;
        Ok(self)
    }

    /// Adds training curves, an SVG image as
    /// [`History::to_svg`](crate::History#method.to_svg) returns it (feature
    /// `plot`). Browsers run no script inside such an image.
    pub fn training(mut self, svg: &str) -> Self {
        let html = format!(
            "<figure class=\"wide\"><img class=\"plot\" alt=\"training curves\" \
             src=\"data:image/svg+xml;base64,{}\"></figure>\n",
            base64(svg.as_bytes())
        );
        self.add("Training", &html);
        self
    }

    /// Adds the result of a probe.
    pub fn probe(mut self, probe: &ProbeReport) -> Self {
        self.add("Probe", &probe.to_svg());
        self.add_text("Probe", &probe.to_string());
        self
    }

    /// The page.
    pub fn to_html(&self) -> String {
        let title = escaped(&self.title);
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
             <link rel=\"icon\" href=\"data:,\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<nav>"
        );
        for (index, section) in self.sections.iter().enumerate() {
            let _ = write!(html, "<a href=\"#s{index}\">{}</a>", section.heading);
        }
        html.push_str("</nav>\n");
        for (index, section) in self.sections.iter().enumerate() {
            let _ = write!(
                html,
                "<section id=\"s{index}\">\n<h2>{}</h2>\n{}\n</section>\n",
                section.heading, section.html
            );
        }
        html.push_str("</body>\n</html>\n");
        html
    }

    /// Writes the page to a file. The file is complete or absent, and missing
    /// folders are created.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it can't be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path.as_ref(), |out| out.write(self.to_html().as_bytes()))
    }

    /// Adds to the section with this heading, or begins that section.
    fn add(&mut self, heading: &'static str, html: &str) {
        let mut sections = self.sections.iter_mut();
        match sections.find(|section| section.heading == heading) {
            Some(section) => section.html.push_str(html),
            None => self.sections.push(Section {
                heading,
                html: html.to_string(),
            }),
        }
    }

    fn add_text(&mut self, heading: &'static str, text: &str) {
        let html = format!("<div class=\"wide\"><pre>{}</pre></div>", escaped(text));
        self.add(heading, &html);
    }

    fn add_image(&mut self, heading: &'static str, caption: &str, image: &Image) -> Result<()> {
        let caption = escaped(caption);
        let html = format!(
            "<figure><img alt=\"{caption}\" width=\"{}\" height=\"{}\" style=\"height:auto\" \
             src=\"data:image/png;base64,{}\"><figcaption>{caption}</figcaption></figure>\n",
            image.width(),
            image.height(),
            base64(&image.to_png()?)
        );
        self.add(heading, &html);
        Ok(())
    }
}

fn input_text(model: &Model) -> String {
    let graph = model.graph();
    let mut text = format!("input:         {}\n", graph.input_shape());
    if let Some(preprocessing) = graph.preprocessing() {
        let _ = writeln!(text, "{preprocessing}");
    }
    let classes = graph.labels().map_or(0, |labels| labels.len());
    let license = graph.license().unwrap_or("not stated");
    let _ = write!(text, "labels:        {classes}\nlicense:       {license}");
    text
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let at = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            if digit > group.len() {
                text.push('=');
            } else {
                let index = (bits >> (18 - 6 * digit)) & 63;
                text.push(char::from(DIGITS[index as usize]));
            }
        }
    }
    text
}

use vgg_surgery::error::ImageError;
use vgg_surgery::explain::{ColorMap, Dream, Heatmap, Report, Sheet, Stylize};
use vgg_surgery::layers::Add;
use vgg_surgery::{Conv2d, Error, Graph, Image, Preprocessing};

use super::{built, whole};

#[test]
fn a_report_holds_all_it_shows() {
    let graph = whole().with_preprocessing(Preprocessing::caffe());
    let model = built(graph.input((3, 32, 32)).unwrap());
    let image = Image::from_rgb8(40, 30, vec![77; 40 * 30 * 3]).unwrap();
    let html = Report::new(&model)
        .title("<two> & \"three\"")
        .filters("block1_conv1")
        .unwrap()
        .activations("block2_conv2", &image)
        .unwrap()
        .activations("relu3_3", &image)
        .unwrap()
        .image("the image", &image)
        .unwrap()
        .training("<svg xmlns=\"http://www.w3.org/2000/svg\"/>")
        .to_html();
    assert!(html.contains("<h1>&lt;two&gt; &amp; &quot;three&quot;</h1>"));
    assert_eq!(
        html.matches("src=\"data:image/png;base64,iVBORw0KGgo")
            .count(),
        4
    );
    assert_eq!(
        html.matches("<section").count(),
        html.matches("</section>").count()
    );
    assert_eq!(html.matches("<h2>Feature maps</h2>").count(), 1);
    assert!(html.contains("src=\"data:image/svg+xml;base64,PHN2ZyB4bWxucz0i"));
    for text in [
        "predictions",
        "to fetch:",
        "new     block1_conv1.weight",
        "relu3_3: the 16 most active of 16 channels",
    ] {
        assert!(html.contains(text), "{text}");
    }
    let uncut = Report::new(&built(whole())).to_html();
    assert!(!uncut.contains("<h2>Operations</h2>"));
    let cut = built(whole().truncate("block2_pool").unwrap());
    let html_of_cut = Report::new(&cut).to_html();
    assert!(html_of_cut.contains("<h2>Operations</h2>"));
    assert!(html_of_cut.contains("truncate(&quot;block2_pool&quot;)"));
    for outside in ["http://", "https://", "<script", "url("] {
        let html = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!html.contains(outside), "{outside}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    Report::new(&model).save(&path).unwrap();
    assert!(
        std::fs::read_to_string(&path)
            .unwrap()
            .ends_with("</html>\n")
    );
    let error = Report::new(&model).save(path.join("below.html"));
    assert!(matches!(error.unwrap_err(), Error::Io { .. }));
    // The old page stays under its second name, because saving replaces the file.
    let other = folder.path().join("other.html");
    std::fs::hard_link(&path, &other).unwrap();
    Report::new(&model).title("new").save(&path).unwrap();
    assert!(
        !std::fs::read_to_string(&other)
            .unwrap()
            .contains("<title>new")
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_diagram_draws_lines_that_bypass_layers() {
    let graph = Graph::new("residual", (4, 8, 8)).unwrap();
    let input = graph.node_id("input").unwrap();
    let mut graph = graph
        .attach(Conv2d::new(4, 3).same().named("conv"))
        .unwrap();
    let conv = graph.node_id("conv").unwrap();
    let sum = graph.add("sum", Add, [input, conv]).unwrap();
    let model = built(graph.with_outputs([sum]).unwrap());
    let html = Report::new(&model).to_html();
    // A box and two texts for each of three layers, one curve.
    assert_eq!(html.matches("<rect").count(), 3);
    assert!(
        html.contains("C74 18 74 106 110 106"),
        "no curve from input to sum"
    );
}

#[test]
fn an_image_without_pixels_is_an_error_everywhere() {
    let graph = whole().with_preprocessing(Preprocessing::caffe());
    let model = built(graph.without_top().unwrap());
    let empty = || Image::from(image::RgbImage::new(0, 4));
    let some = Image::from_rgb8(32, 32, vec![9; 32 * 32 * 3]).unwrap();
    let heat = Heatmap::new(1, 1, vec![1.0]).unwrap();
    let layer = "block1_conv1";
    let errors = [
        heat.overlay(&empty(), ColorMap::Magma, 0.5).unwrap_err(),
        Report::new(&model)
            .activations(layer, &empty())
            .unwrap_err(),
        Report::new(&model).image("none", &empty()).unwrap_err(),
        Dream::new().run(&model, layer, &empty()).unwrap_err(),
        Stylize::new().run(&model, &empty(), &some).unwrap_err(),
        Stylize::new().run(&model, &some, &empty()).unwrap_err(),
        Sheet::new().arrange(&[empty()]).unwrap_err(),
        Heatmap::new(0, 4, Vec::new()).unwrap_err(),
    ];
    for error in errors {
        let is_size = matches!(error, Error::Image(ImageError::Size { .. }));
        assert!(is_size, "{error}");
    }
}

#[test]
fn curves_are_encoded_as_base64() {
    let model = built(whole());
    // RFC 4648, section 10.
    for (bytes, text) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ] {
        let html = Report::new(&model).training(bytes).to_html();
        let source = format!("src=\"data:image/svg+xml;base64,{text}\"");
        assert!(html.contains(&source), "{bytes}");
    }
}

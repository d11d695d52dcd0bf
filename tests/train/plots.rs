use vgg_surgery::{Error, History, Trainer};

use crate::{built, graph, two_kinds};

fn history() -> History {
    let mut model = built(graph());
    let data = two_kinds(4, 8, 1);
    let mut trainer = Trainer::new(&mut model).epochs(3);
    trainer.fit(&data, &data).unwrap()
}

/// The points of the `index`th curve of an SVG. Only curves are two units wide,
/// and every second one is in the legend.
fn curve(svg: &str, index: usize) -> Vec<(f64, f64)> {
    let mut lines = svg
        .lines()
        .filter(|line| line.contains("stroke-width=\"2\""));
    let line = lines.nth(index * 2).unwrap();
    let points = line.split('"').nth(1).unwrap().split(' ').map(|point| {
        let (x, y) = point.split_once(',').unwrap();
        (x.parse().unwrap(), y.parse().unwrap())
    });
    points.collect()
}

#[test]
fn curves_follow_the_values() {
    let history = history();
    let svg = history.to_svg();
    for (index, name) in ["loss", "val_loss", "accuracy", "val_accuracy"]
        .iter()
        .enumerate()
    {
        assert!(svg.contains(&format!(">{name}</text>")), "{svg}");
        let (points, values) = (curve(&svg, index), history.curve(name));
        assert_eq!(points.len(), 3);
        let step = points[1].0 - points[0].0;
        assert!((points[2].0 - points[1].0 - step).abs() < 0.11 && step > 0.0);
        // Higher values have a smaller y, by one factor.
        for (a, b) in [(0, 1), (1, 2)] {
            let (rise, drop) = (values[b] - values[a], points[a].1 - points[b].1);
            assert!(
                rise * drop >= 0.0 && (rise == 0.0) == (drop.abs() < 0.11),
                "{name}"
            );
        }
    }
}

#[test]
fn plots_are_saved_as_svg_only() {
    let folder = tempfile::tempdir().unwrap();
    let history = history();
    for name in ["curves.svg", "curves.SVG"] {
        let path = folder.path().join(name);
        history.save_plot(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), history.to_svg());
        let error = history.save_plot(path.join("curves.svg")).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        std::fs::remove_file(&path).unwrap();
    }
    for name in ["curves.png", "curves", "svg"] {
        let error = history.save_plot(folder.path().join(name)).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains("use .svg"), "{error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_history_without_epochs_is_an_empty_chart() {
    let mut model = built(graph());
    let history = Trainer::new(&mut model).history();
    assert!(history.to_svg().ends_with("</svg>\n"));
}

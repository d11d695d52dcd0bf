use std::fs;
use std::path::Path;

use vgg_surgery::{Error, History, Result, Trainer};

use crate::{built, graph, two_kinds};

/// A hard link to the old file shows whether it was replaced or overwritten. A
/// reader must see either the whole old file or the whole new one.
#[test]
fn a_saved_history_replaces_the_old_file_whole() {
    let mut model = built(graph());
    let data = two_kinds(4, 8, 1);
    let history = Trainer::new(&mut model).fit(&data, &data).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let replaces = |name: &str, save: &dyn Fn(&History, &Path) -> Result<()>| {
        let (file, second_name) = (folder.path().join(name), folder.path().join("old"));
        fs::write(&file, "old").unwrap();
        fs::hard_link(&file, &second_name).unwrap();
        save(&history, &file).unwrap();
        assert_eq!(fs::read(&second_name).unwrap(), b"old", "{name}");
        assert_ne!(fs::read(&file).unwrap(), b"old", "{name}");
        fs::remove_file(&file).unwrap();
        fs::remove_file(&second_name).unwrap();
        // A folder can't be made where a file is.
        fs::write(&file, "old").unwrap();
        let error = save(&history, &file.join(name)).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        fs::remove_file(&file).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{name}");
    };
    replaces("history.csv", &|history, path| history.save_csv(path));
    replaces("history.json", &|history, path| history.save_json(path));
    replaces("history.svg", &|history, path| history.save_plot(path));
}

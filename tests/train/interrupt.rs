use std::process::Command;

use vgg_surgery::train::{BatchEvent, Callback, ControlFlow, StopReason};
use vgg_surgery::{Result, Trainer};

use crate::{built, graph, two_kinds};

/// Raises the signal of Ctrl-C at the third batch.
struct CtrlC(usize);

impl Callback for CtrlC {
    fn on_batch(&mut self, _: &BatchEvent<'_>) -> Result<ControlFlow> {
        self.0 += 1;
        if self.0 == 3 {
            let process = std::process::id().to_string();
            let sent = Command::new("kill").args(["-INT", &process]).status();
            assert!(sent.unwrap().success());
        }
        Ok(ControlFlow::Continue)
    }
}

#[test]
fn ctrl_c_ends_training_with_a_checkpoint() {
    const EPOCHS: u64 = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.safetensors");
    let data = two_kinds(4, 8, 1);
    let mut model = built(graph());
    let mut trainer = Trainer::new(&mut model)
        .batch_size(4)
        .epochs(EPOCHS)
        .callback(CtrlC(0))
        .checkpoint_on_stop(&file)
        .stop_on_ctrl_c()
        .unwrap();
    let history = trainer.fit_without_validation(&data).unwrap();
    assert_eq!(history.ended, StopReason::Interrupted);
    let done = history.epochs.len();
    assert!((2..EPOCHS as usize).contains(&done), "{done}");
    assert!(file.is_file());
}

//! Two processes with eight threads each, at the same files.

use std::path::Path;
use std::thread;

use candle_core::Device;
use vgg_surgery::{Model, Result};

use crate::cache::Rig;
use crate::child::{Process, cases, job};
use crate::small;

const THREADS: usize = 8;

fn work(folder: &Path) -> Result<Vec<Vec<u32>>> {
    let fetched = Rig::child(folder)?;
    fetched.save(folder.join("out.safetensors"))?;
    let mut model = small::built(&small::graph(None));
    let mut trainer = small::plain(&mut model);
    trainer.set_epochs(1);
    trainer.fit_without_validation(&small::data())?;
    trainer.save_checkpoint(folder.join("run.safetensors"))?;
    let saved = Model::load(folder.join("out.safetensors"), &Device::Cpu)?;
    assert!(small::weights(&saved) == small::weights(&fetched));
    Ok(small::weights(&fetched))
}

#[test]
fn all_succeed_and_each_tensor_is_fetched_once() {
    if let Some((_, folder)) = job() {
        let all: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| scope.spawn(|| work(&folder)))
                .collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().unwrap();
            threads.into_iter().map(join).collect()
        });
        let all: Vec<_> = all
            .into_iter()
            .map(|outcome: Result<_>| outcome.unwrap())
            .collect();
        assert!(all.iter().all(|weights| *weights == all[0]));
        return;
    }
    for _ in 0..cases(40).div_ceil(40) {
        let rig = Rig::start();
        let test = "crowd::all_succeed_and_each_tensor_is_fetched_once";
        let start = |_| rig.known_to(Process::new(test, "work", rig.home())).start();
        for process in [0, 1].map(start) {
            let output = process.wait_with_output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{told}");
        }
        let sent = rig.hub.take_sent();
        assert!(sent < 1_200_000, "{sent} bytes were sent");
        let built = rig.build().unwrap();
        let saved = Model::load(rig.home().join("out.safetensors"), &Device::Cpu).unwrap();
        assert!(small::weights(&saved) == small::weights(&built));
        let mut model = small::built(&small::graph(None));
        let mut trainer = small::plain(&mut model);
        trainer.set_epochs(1);
        let mut trainer = trainer.resume(rig.home().join("run.safetensors")).unwrap();
        let history = trainer.fit_without_validation(&small::data()).unwrap();
        assert_eq!(history.epochs.len(), 1);
    }
}

use crate::data::Dataset;
use crate::error::Result;
use crate::train::checks;
use crate::train::history::History;
use crate::train::metrics::Evaluation;
use crate::train::trainer::Trainer;

use super::accepted::Accepted;
use super::epoch::{Epochs, of_validation};
use super::learner::Learner;
use super::training_model::TrainingModel;

impl Trainer<'_> {
    /// Trains, and measures on the validation data after each epoch. If the
    /// training data have class names, they become the model's labels
    /// ([`Graph::classes`](crate::Graph::classes) says when two names fit a single
    /// output). The history is kept in the model ([`History::of`]).
    ///
    /// # Errors
    /// [`TrainingError`](crate::error::TrainingError), and errors of the data, of
    /// [`Model::forward`](crate::Model::forward), of callbacks, and of writing
    /// checkpoints. The model keeps what it has learned until then, or what
    /// callbacks restored, and the trainer its [`history`](Trainer::history).
    pub fn fit(&mut self, train: &dyn Dataset, validation: &dyn Dataset) -> Result<History> {
        self.fit_with(train, Some(validation))
    }

    /// Like [`Trainer::fit`], without validation.
    ///
    /// # Errors
    /// The errors of [`Trainer::fit`].
    pub fn fit_without_validation(&mut self, train: &dyn Dataset) -> Result<History> {
        self.fit_with(train, None)
    }

    /// Loss and metrics on a data set.
    ///
    /// # Errors
    /// Errors of the data, of [`Model::forward`](crate::Model::forward) and of
    /// the loss.
    pub fn evaluate(&self, data: &dyn Dataset) -> Result<Evaluation> {
        let settings = self.settings.resolve(self.model, data)?;
        let model = TrainingModel::whole(self.model, &settings);
        Ok(model.measure(data, None, &|| false)?.evaluation)
    }

    fn fit_with(
        &mut self,
        train: &dyn Dataset,
        validation: Option<&dyn Dataset>,
    ) -> Result<History> {
        let Accepted {
            settings,
            parameters,
        } = &Accepted::new(self.model, &self.settings, train)?;
        let requested = settings.requested;
        if let Some(data) = validation {
            let checked = checks::check_classes(self.model.graph(), &requested.loss, data);
            checked.map_err(of_validation)?;
        }
        let has_logits = requested.loss.is_binary_cross_entropy();
        self.model.adopt_labels(train.classes(), has_logits)?;
        let data = requested.data_settings(train);
        self.optimizer.set_optimizer(requested.optimizer.clone());
        match &self.resumed {
            Some(saved) => {
                let callbacks = &mut self.callbacks;
                self.progress = saved.apply(self.model, &mut self.optimizer, callbacks, &data)?;
                self.progress.resume();
            }
            None => self.progress.begin(),
        }
        self.progress.data = data;
        let reported = self.progress.findings.len();
        for finding in checks::early_findings(self.model.graph(), train, validation) {
            self.progress.note(finding);
        }
        let loader = settings.training_loader(train, self.model);
        let mut epochs = Epochs {
            model: TrainingModel::new(self.model, settings),
            learner: Learner {
                settings,
                parameters,
                optimizer: &mut self.optimizer,
                batches: loader.batches(),
                end: self.progress.start.saturating_add(requested.epochs),
                progress: &mut self.progress,
                callbacks: &mut self.callbacks,
                reported,
            },
            loader,
            validation,
            caches: &mut self.features,
        };
        epochs
            .learner
            .start(epochs.model.model(), validation.is_some())?;
        // Not earlier: what was refused until here may be fixed and tried again.
        self.resumed = None;
        let outcome = epochs.run();
        let history = self.progress.history();
        self.model.set_note(History::NOTE, history.to_value());
        outcome.map(|()| history)
    }
}

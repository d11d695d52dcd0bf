use crate::data::{Dataset, Loader};
use crate::model::Model;

use super::resolved::ResolvedSettings;

impl ResolvedSettings<'_> {
    /// Batches to train on.
    pub(in crate::train) fn training_loader<'d>(
        &self,
        data: &'d dyn Dataset,
        model: &Model,
    ) -> Loader<'d> {
        let requested = self.requested;
        let loader = self.augmented_loader(data, model);
        let loader = loader.drop_last(requested.drop_last);
        if requested.shuffles {
            loader.shuffle(requested.seed)
        } else {
            loader
        }
    }

    /// Every example once, in order, augmented as for training.
    pub(in crate::train) fn augmented_loader<'d>(
        &self,
        data: &'d dyn Dataset,
        model: &Model,
    ) -> Loader<'d> {
        let loader = self.plain_loader(data, model).seed(self.requested.seed);
        match &self.requested.augmentation {
            Some(augmentation) => loader.augment(augmentation.clone()),
            None => loader,
        }
    }

    /// Every example once, in order, without augmentation.
    pub(in crate::train) fn plain_loader<'d>(
        &self,
        data: &'d dyn Dataset,
        model: &Model,
    ) -> Loader<'d> {
        let loader = Loader::for_model(data, model)
            .batch_size(self.requested.batch_size)
            .prefetch(self.requested.prefetch);
        match &self.preprocessing {
            Some(preprocessing) => loader.preprocessing(preprocessing.clone()),
            None => loader,
        }
    }
}

use crate::data::Dataset;
use crate::error::Result;
use crate::graph::Node;
use crate::train::history::Finding;
use crate::train::trainer::Trainer;

use super::findings::{
    activation_finding, classes_finding, norm_findings, output_findings, preprocessing_finding,
};
use super::guards::refusal;

impl Trainer<'_> {
    /// What will go wrong, or probably will, in training on these data; best
    /// called before `fit`. Loss and metrics, custom ones too, are tried on the
    /// target of the first example and an output of zeros, unless the size of
    /// the network's output depends on its input.
    ///
    /// # Errors
    /// Errors of reading the data's first example.
    pub fn check(&self, train: &dyn Dataset) -> Result<Vec<Finding>> {
        let (model, settings) = (self.model(), &self.settings);
        let graph = model.graph();
        let mut findings = Vec::new();
        let is_trained = |node: &Node| !node.is_frozen() && !node.parameters().is_empty();
        if !graph.nodes().any(is_trained) {
            findings.push(Finding::NothingToTrain);
        }
        findings.extend(classes_finding(graph, &settings.loss, train));
        if let Some(finding) = refusal(model, settings, train)?
            && !findings.contains(&finding)
        {
            findings.push(finding);
        }
        findings.extend(activation_finding(graph, &settings.loss));
        findings.extend(norm_findings(graph));
        findings.extend(output_findings(graph));
        let preprocessing = settings.preprocessing.as_ref();
        findings.extend(preprocessing_finding(model, preprocessing, train)?);
        findings.extend(self.progress.findings.iter().cloned());
        Ok(findings)
    }
}

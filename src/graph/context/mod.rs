//! The one writer of nodes. In comes a graph and what is asked of it; out goes
//! a checked graph whose ledger has one entry more, or an error and nothing.

mod changes;
mod edit;
mod names;
mod verbs;

pub(crate) use changes::Claim;
pub(crate) use edit::EditContext;

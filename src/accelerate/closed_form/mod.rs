//! Filters in closed form: which channels a layer can do without, and the filters
//! that then give what the old ones gave. In come a network and crops of images;
//! out go curves of errors and filters, without a gradient step.

mod calibrate;
mod eliminate;
mod equations;
mod inverse;
mod reconstruct;
mod samples;
mod walk;

pub(super) use calibrate::{AT_A_TIME, ChannelChoice, Course, Studied, elimination, study};
pub(super) use eliminate::Curve;
pub(super) use reconstruct::{Lesson, fit};
pub(super) use samples::Sampling;
pub(super) use walk::Walk;

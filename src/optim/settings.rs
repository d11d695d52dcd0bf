/// The library whose formula an optimizer follows if the two differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Convention {
    /// Keras 3.
    Keras,
    /// PyTorch 2.
    PyTorch,
}

/// How weights are pulled towards zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Decay {
    /// No decay.
    #[default]
    None,
    /// Adds this times the weight to the gradient: an L2 penalty of half this
    /// times the squared weights.
    Coupled(f64),
    /// Multiplies the weight at each step by 1 minus this times the learning rate
    /// (Loshchilov and Hutter 2019).
    Decoupled(f64),
}

impl Decay {
    /// The factor on the weight that is added to the gradient.
    pub(super) fn pull(self) -> f64 {
        match self {
            Self::Coupled(decay) => decay,
            Self::None | Self::Decoupled(_) => 0.0,
        }
    }

    /// The factor on the weight itself.
    pub(super) fn shrink(self, learning_rate: f64) -> f64 {
        match self {
            Self::Decoupled(decay) => 1.0 - learning_rate * decay,
            Self::None | Self::Coupled(_) => 1.0,
        }
    }
}

/// Stochastic gradient descent (`torch.optim.SGD`).
///
/// With momentum `m`, gradient `g` and velocity `v`: `v = m v + g`, and
/// `rate * v` is subtracted from the weight, or with Nesterov's momentum
/// `rate * (g + m v)`.
///
/// ```
/// use vgg_surgery::Sgd;
///
/// let optimizer = Sgd::new(0.01).momentum(0.9).nesterov();
/// assert!(optimizer.nesterov);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[must_use]
pub struct Sgd {
    /// The learning rate.
    pub learning_rate: f64,
    /// The fraction of the last velocity that is kept, from 0 to 1.
    pub momentum: f64,
    /// Whether Nesterov's momentum is used (Sutskever et al. 2013).
    pub nesterov: bool,
    /// How weights are pulled towards zero.
    pub decay: Decay,
}

impl Sgd {
    /// SGD without momentum and decay.
    pub fn new(learning_rate: f64) -> Self {
        Self {
            learning_rate,
            momentum: 0.0,
            nesterov: false,
            decay: Decay::None,
        }
    }

    /// Sets the momentum, from 0 to 1.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Uses Nesterov's momentum.
    pub fn nesterov(mut self) -> Self {
        self.nesterov = true;
        self
    }
}

/// Keras' learning rate, 0.01.
impl Default for Sgd {
    fn default() -> Self {
        Self::new(0.01)
    }
}

/// RMSprop (Tieleman and Hinton 2012): the gradient divided by the root of its
/// running mean square.
///
/// ```
/// use vgg_surgery::optim::Convention;
/// use vgg_surgery::RmsProp;
///
/// let keras = RmsProp::default();
/// assert_eq!((keras.learning_rate, keras.rho, keras.epsilon), (1e-3, 0.9, 1e-7));
/// assert_eq!(RmsProp::pytorch(0.01).convention, Convention::PyTorch);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[must_use]
pub struct RmsProp {
    /// The learning rate.
    pub learning_rate: f64,
    /// The fraction of the last mean square that is kept (PyTorch's `alpha`).
    pub rho: f64,
    /// The fraction of the last increment that is kept, from 0 to 1.
    pub momentum: f64,
    /// Keeps the divisor from zero: added within the root in Keras, after it in
    /// PyTorch.
    pub epsilon: f64,
    /// Whether the gradient's variance replaces its mean square.
    pub centered: bool,
    /// How weights are pulled towards zero.
    pub decay: Decay,
    /// Where `epsilon` is added, and whether the momentum's increments include the
    /// learning rate (Keras) or not (PyTorch).
    pub convention: Convention,
}

impl RmsProp {
    /// Keras' rule and defaults: `rho` 0.9, `epsilon` 1e-7.
    pub fn new(learning_rate: f64) -> Self {
        Self {
            learning_rate,
            rho: 0.9,
            momentum: 0.0,
            epsilon: 1e-7,
            centered: false,
            decay: Decay::None,
            convention: Convention::Keras,
        }
    }

    /// PyTorch's rule and defaults: `rho` (its `alpha`) 0.99, `epsilon` 1e-8.
    pub fn pytorch(learning_rate: f64) -> Self {
        Self {
            rho: 0.99,
            epsilon: 1e-8,
            convention: Convention::PyTorch,
            ..Self::new(learning_rate)
        }
    }

    /// Sets the fraction of the last mean square that is kept.
    pub fn rho(mut self, rho: f64) -> Self {
        self.rho = rho;
        self
    }

    /// Sets the momentum, from 0 to 1.
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Sets what keeps the divisor from zero, at least [`f32::MIN_POSITIVE`].
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// Replaces the mean square by the gradient's variance.
    pub fn centered(mut self) -> Self {
        self.centered = true;
        self
    }
}

/// Keras' learning rate, 0.001.
impl Default for RmsProp {
    fn default() -> Self {
        Self::new(1e-3)
    }
}

/// Adam (Kingma and Ba 2015).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[must_use]
pub struct Adam {
    /// The learning rate.
    pub learning_rate: f64,
    /// The fraction of the last mean gradient that is kept.
    pub beta1: f64,
    /// The fraction of the last mean square that is kept.
    pub beta2: f64,
    /// Keeps the divisor from zero.
    pub epsilon: f64,
    /// How weights are pulled towards zero.
    pub decay: Decay,
    /// Whether `epsilon` is added to the corrected root (PyTorch, and the
    /// paper's algorithm 1) or to the uncorrected one (Keras, and the remark
    /// in the paper's section 2).
    pub convention: Convention,
}

impl Adam {
    /// PyTorch's rule and defaults: betas 0.9 and 0.999, `epsilon` 1e-8.
    pub fn new(learning_rate: f64) -> Self {
        Self {
            learning_rate,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            decay: Decay::None,
            convention: Convention::PyTorch,
        }
    }

    /// Keras' rule and defaults: betas 0.9 and 0.999, `epsilon` 1e-7.
    pub fn keras(learning_rate: f64) -> Self {
        Self {
            epsilon: 1e-7,
            convention: Convention::Keras,
            ..Self::new(learning_rate)
        }
    }

    /// Sets the fractions of the last means that are kept.
    pub fn betas(mut self, beta1: f64, beta2: f64) -> Self {
        (self.beta1, self.beta2) = (beta1, beta2);
        self
    }

    /// Sets what keeps the divisor from zero, at least [`f32::MIN_POSITIVE`].
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }
}

/// The paper's learning rate, 0.001.
impl Default for Adam {
    fn default() -> Self {
        Self::new(1e-3)
    }
}

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019):
/// [`Adam`] with [`Decay::Decoupled`].
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct AdamW(Adam);

impl AdamW {
    /// PyTorch's defaults: betas 0.9 and 0.999, `epsilon` 1e-8, decay 0.01.
    pub fn new(learning_rate: f64) -> Self {
        Self(Adam::new(learning_rate).decoupled_weight_decay(0.01))
    }

    /// Sets the decay.
    pub fn weight_decay(self, decay: f64) -> Self {
        Self(self.0.decoupled_weight_decay(decay))
    }

    /// Sets the fractions of the last means that are kept.
    pub fn betas(self, beta1: f64, beta2: f64) -> Self {
        Self(self.0.betas(beta1, beta2))
    }

    /// Sets what keeps the divisor from zero, at least [`f32::MIN_POSITIVE`].
    pub fn epsilon(self, epsilon: f64) -> Self {
        Self(self.0.epsilon(epsilon))
    }
}

/// PyTorch's learning rate, 0.001.
impl Default for AdamW {
    fn default() -> Self {
        Self::new(1e-3)
    }
}

macro_rules! optimizers {
    ($($kind:ident),*) => {$(
        impl $kind {
            /// Adds this times the weight to the gradient, as PyTorch's
            /// `weight_decay` does.
            pub fn weight_decay(mut self, decay: f64) -> Self {
                self.decay = Decay::Coupled(decay);
                self
            }

            /// Multiplies each weight by 1 minus this times the learning rate
            /// at each step, as Keras' `weight_decay` does.
            pub fn decoupled_weight_decay(mut self, decay: f64) -> Self {
                self.decay = Decay::Decoupled(decay);
                self
            }
        }

        impl From<$kind> for Optimizer {
            fn from(settings: $kind) -> Self {
                Self::$kind(settings)
            }
        }
    )*};
}

optimizers!(Sgd, RmsProp, Adam);

/// An optimizer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Optimizer {
    /// [`Sgd`].
    Sgd(Sgd),
    /// [`RmsProp`].
    RmsProp(RmsProp),
    /// [`Adam`], or [`AdamW`].
    Adam(Adam),
}

impl Optimizer {
    /// The learning rate.
    pub fn learning_rate(&self) -> f64 {
        match self {
            Self::Sgd(sgd) => sgd.learning_rate,
            Self::RmsProp(rms_prop) => rms_prop.learning_rate,
            Self::Adam(adam) => adam.learning_rate,
        }
    }

    /// Sets the learning rate.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        match self {
            Self::Sgd(sgd) => sgd.learning_rate = learning_rate,
            Self::RmsProp(rms_prop) => rms_prop.learning_rate = learning_rate,
            Self::Adam(adam) => adam.learning_rate = learning_rate,
        }
    }

    /// How weights are pulled towards zero.
    pub fn decay(&self) -> Decay {
        match self {
            Self::Sgd(sgd) => sgd.decay,
            Self::RmsProp(rms_prop) => rms_prop.decay,
            Self::Adam(adam) => adam.decay,
        }
    }
}

impl From<AdamW> for Optimizer {
    fn from(AdamW(adam): AdamW) -> Self {
        Self::Adam(adam)
    }
}

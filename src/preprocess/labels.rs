use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, printable};

// One line a class, "n01440764 tench", in the order of the class indices. The
// names are `_IMAGENET_CATEGORIES` of torchvision 0.29.2
// (torchvision/models/_meta.py), unchanged; the synset ids are
// `timm/data/_info/imagenet_synsets.txt` of timm 1.0.31. Both packages list
// the classes by ascending synset id, so line N joins entry N of each.
static IMAGENET: LazyLock<Labels> = LazyLock::new(|| {
    let lines = include_str!("imagenet.txt").lines();
    let classes = lines.filter_map(|line| line.split_once(' '));
    Labels {
        classes: classes
            .map(|(synset, name)| Class {
                name: name.to_string(),
                synset: Some(synset.to_string()),
            })
            .collect(),
    }
});

/// The names of a network's classes, by index.
///
/// Control characters in names are replaced by escapes such as `\u{1b}`: a name from a
/// file can be printed. Cheap to clone. Serializes as
/// `{"names": [...], "synsets": [...]}`; `synsets` is `null` if no class has an id,
/// and `null` at each class without one.
///
/// ```
/// use vgg_surgery::Labels;
///
/// let imagenet = Labels::imagenet();
/// let tench = imagenet.get(0).unwrap();
/// assert_eq!((tench.name, tench.synset), ("tench", Some("n01440764")));
///
/// let birds_and_machines = Labels::new(["crane", "heron", "crane"]);
/// assert_eq!(birds_and_machines.find("crane"), [0, 2]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "LabelList", into = "LabelList")]
pub struct Labels {
    classes: Arc<[Class]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Class {
    name: String,
    synset: Option<String>,
}

impl Class {
    fn new(name: impl Into<String>, synset: Option<String>) -> Self {
        Self {
            name: printable(name),
            synset: synset.map(printable),
        }
    }
}

/// One class of [`Labels`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Label<'a> {
    /// The index of the class in the network's output.
    pub index: usize,
    /// The name; other classes may have the same.
    pub name: &'a str,
    /// The WordNet id, such as `n01440764`, unique to the class.
    pub synset: Option<&'a str>,
}

impl Labels {
    /// Labels from names in the order of the classes; a name may occur twice.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter();
        Self {
            classes: names.map(|name| Class::new(name, None)).collect(),
        }
    }

    /// The 1000 classes of ImageNet-1K (ILSVRC 2012), named as torchvision
    /// names them, with their synset ids.
    ///
    /// torchvision tells the two cranes and the two maillots apart: 134
    /// `crane bird` and 517 `crane`, 638 `maillot` and 639
    /// `maillot tank suit`. Keras calls both of a pair by the shorter name.
    /// 264 `Cardigan` (a dog) and 474 `cardigan` differ by their capital only.
    pub fn imagenet() -> Self {
        IMAGENET.clone()
    }

    /// Gives every class its synset id.
    ///
    /// # Errors
    /// [`Error::LabelCount`] unless there are as many ids as names.
    pub fn with_synsets<S: Into<String>>(
        self,
        synsets: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let synsets: Vec<String> = synsets.into_iter().map(Into::into).collect();
        if synsets.len() != self.len() {
            return Err(Error::LabelCount {
                names: self.len(),
                synsets: synsets.len(),
            });
        }
        let classes = self.classes.iter().zip(synsets);
        Ok(Self {
            classes: classes
                .map(|(class, synset)| Class::new(&class.name, Some(synset)))
                .collect(),
        })
    }

    /// These classes, and after them others of these names.
    pub fn extended<N: Into<String>>(&self, names: impl IntoIterator<Item = N>) -> Self {
        let more = Self::new(names);
        Self {
            classes: self.classes.iter().chain(&*more.classes).cloned().collect(),
        }
    }

    /// The class at an index of the network's output.
    pub fn get(&self, index: usize) -> Option<Label<'_>> {
        let class = self.classes.get(index)?;
        Some(Label {
            index,
            name: &class.name,
            synset: class.synset.as_deref(),
        })
    }

    /// The indices of all classes of exactly this name, ascending: none, one,
    /// or several where a name stands more than once.
    pub fn find(&self, name: &str) -> Vec<usize> {
        let name = printable(name);
        let named = self.iter().filter(|label| label.name == name);
        named.map(|label| label.index).collect()
    }

    /// The index of the first class of exactly this name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.find(name).first().copied()
    }

    /// The index of the class with this synset id.
    pub fn find_synset(&self, synset: &str) -> Option<usize> {
        self.iter()
            .find(|label| label.synset == Some(synset))
            .map(|label| label.index)
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.classes.len()
    }

    /// Whether there are no classes.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The classes in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Label<'_>> {
        let classes = self.classes.iter().enumerate();
        classes.map(|(index, class)| Label {
            index,
            name: &class.name,
            synset: class.synset.as_deref(),
        })
    }
}

/// [`Labels`] in a file.
#[derive(Serialize, Deserialize)]
struct LabelList {
    names: Vec<String>,
    #[serde(default)]
    synsets: Option<Vec<Option<String>>>,
}

impl TryFrom<LabelList> for Labels {
    type Error = Error;

    fn try_from(LabelList { names, synsets }: LabelList) -> Result<Self> {
        let Some(synsets) = synsets else {
            return Ok(Self::new(names));
        };
        if synsets.len() != names.len() {
            return Err(Error::LabelCount {
                names: names.len(),
                synsets: synsets.len(),
            });
        }
        let classes = names.into_iter().zip(synsets);
        Ok(Self {
            classes: classes
                .map(|(name, synset)| Class::new(name, synset))
                .collect(),
        })
    }
}

impl From<Labels> for LabelList {
    fn from(labels: Labels) -> Self {
        let synset = |label: Label<'_>| label.synset.map(str::to_string);
        let synsets: Vec<Option<String>> = labels.iter().map(synset).collect();
        Self {
            names: labels.iter().map(|label| label.name.to_string()).collect(),
            synsets: synsets.iter().any(Option::is_some).then_some(synsets),
        }
    }
}

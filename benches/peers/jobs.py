"""The jobs of `compare.py` and the networks they run."""

import enum
from dataclasses import dataclass

# A convolution's filters, or a 2x2 max pool.
BLOCKS = [
    [64, 64],
    [128, 128],
    [256, 256, 256],
    [512, 512, 512],
    [512, 512, 512],
]


@dataclass(frozen=True)
class Conv:
    name: str
    in_channels: int
    out_channels: int
    padding: int = 1


@dataclass(frozen=True)
class Pool:
    name: str


@dataclass(frozen=True)
class Flatten:
    name: str


@dataclass(frozen=True)
class Dense:
    name: str
    in_features: int
    units: int
    relu: bool = True


@dataclass(frozen=True)
class Dropout:
    name: str
    rate: float


Layer = Conv | Pool | Flatten | Dense | Dropout


@dataclass(frozen=True)
class Network:
    """A chain of layers. Convolutions are followed by ReLUs."""

    trunk: tuple[Layer, ...]
    top: tuple[Layer, ...] = ()
    classes: int = 0

    @property
    def layers(self) -> tuple[Layer, ...]:
        return self.trunk + self.top


def trunk(blocks: int) -> tuple[Layer, ...]:
    """VGG16 through a block's pool."""
    layers: list[Layer] = []
    channels = 3
    for block, filters in enumerate(BLOCKS[:blocks], 1):
        for step, out_channels in enumerate(filters, 1):
            layers.append(Conv(f"block{block}_conv{step}", channels, out_channels))
            channels = out_channels
        layers.append(Pool(f"block{block}_pool"))
    return tuple(layers)


CLASSIFIER = (
    Flatten("flatten"),
    Dense("fc1", 512 * 7 * 7, 4096),
    Dense("fc2", 4096, 4096),
    Dense("predictions", 4096, 1000, relu=False),
)
TUTORIAL_HEAD = (
    Conv("head_conv", 128, 64, padding=0),
    Pool("head_pool"),
    Flatten("head_flatten"),
    Dense("head_fc", 64 * 19 * 19, 256),
    Dropout("head_dropout", 0.5),
    Dense("head_out", 256, 10, relu=False),
)

VGG16 = Network(trunk(5), CLASSIFIER, 1000)
NO_TOP = Network(trunk(5))
BLOCK2_POOL = Network(trunk(2))
TUTORIAL = Network(trunk(2), TUTORIAL_HEAD, 10)


class Kind(enum.Enum):
    INFER = "infer"
    TRAIN = "train"
    MEMORY = "memory"


@dataclass(frozen=True)
class Job:
    """What is measured: a forward pass of a batch, or a training step on it."""

    name: str
    network: Network
    batch: int
    side: int
    kind: Kind = Kind.INFER
    # How often a worker runs the job before the next worker's turn.
    calls: int = 1
    # In training, the trunk runs at every step but is not trained.
    frozen: bool = False

    @property
    def has_dropout(self) -> bool:
        return any(isinstance(layer, Dropout) for layer in self.network.layers)


JOBS = {
    job.name: job
    for job in [
        Job("vgg16_b1", VGG16, 1, 224, calls=5),
        Job("vgg16_b8", VGG16, 8, 224, calls=2),
        Job("notop_b1", NO_TOP, 1, 224, calls=5),
        Job("notop_b8", NO_TOP, 8, 224, calls=2),
        Job("block2_pool_b32", BLOCK2_POOL, 32, 160, calls=2),
        Job("train_frozen", TUTORIAL, 32, 160, Kind.TRAIN, frozen=True),
        Job("train_all", TUTORIAL, 32, 160, Kind.TRAIN),
        Job("finetune_b8", VGG16, 8, 224, Kind.TRAIN),
        Job("memory_b8", VGG16, 8, 224, Kind.MEMORY),
    ]
}

SGD_LEARNING_RATE = 1e-3
RMSPROP_LEARNING_RATE = 1e-4
RMSPROP_RHO = 0.9
RMSPROP_EPSILON = 1e-7

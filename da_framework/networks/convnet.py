"""Small convolutional networks for digits."""

from torch import nn

from da_framework.core.errors import InputError
from da_framework.core.types import Count, Fraction, Index


class ConvNet(nn.Sequential):
    """Blocks of convolution, batch norm if asked, 2x2 max pooling and ReLU.

    With channels 32 and 48, no padding and no batch norm it is the feature extractor of the MNIST
    network of Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 2016, figure 4a
    (https://arxiv.org/abs/1505.07818); with 20 and 50 that of LeNet as the field uses it, which
    CDAN and SHOT train with a dropout of .5.

    Args:
        shape: of one image: channels, height, width.
        channels: of each block.
        kernel: side of the convolutions, in pixels.
        padding: around the image, in pixels.
        batch_norm: after each convolution.
        dropout: share of the last convolution's channels that a step leaves out, each whole.

    Raises:
        InputError: the images are too small, or no images.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        channels: list[Count],
        kernel: Count,
        padding: Index,
        batch_norm: bool,
        dropout: Fraction = 0.0,
    ) -> None:
        if len(shape) != 3:
            series = "network=cnn1d and network=recurrent read series (channels, time); "
            raise InputError(
                f"a convolutional network needs images, but an input has the shape {shape}; "
                f"{series if len(shape) == 2 else ''}network=mlp takes any"
            )
        side = min(shape[1:])
        for _ in channels:
            side = (side + 2 * padding - kernel + 1) // 2
        if side < 1:
            pads = "" if padding else "network=convnet pads them; "
            raise InputError(
                f"images of {shape[1]}x{shape[2]} pixels are too small for {len(channels)} blocks "
                f"with kernel {kernel} and padding {padding}: {pads}network=mlp takes any size, "
                "and where dataset.size is a key, larger ones"
            )
        layers: list[nn.Module] = []
        for inputs, outputs in zip([shape[0], *channels], channels, strict=False):
            layers.append(nn.Conv2d(inputs, outputs, kernel, padding=padding))
            if batch_norm:
                layers.append(nn.BatchNorm2d(outputs))
            # the same in either order, but so a quarter is left for the nonlinearity
            layers += [nn.MaxPool2d(2), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout2d(dropout))
        super().__init__(*layers, nn.Flatten())

"""One file per paper. `AUTOENCODERS` is the whole registry: tests, command line and docs read it."""

from genae.autoencoders.aaae import AdversariallyApproximatedAutoencoder
from genae.autoencoders.adversarial import AdversarialAutoencoder
from genae.autoencoders.swae import StackedWassersteinAutoencoder
from genae.protocol import Autoencoder

AUTOENCODERS: dict[str, type[Autoencoder]] = {
    "aaae": AdversariallyApproximatedAutoencoder,
    "adversarial": AdversarialAutoencoder,
    "stacked-wae": StackedWassersteinAutoencoder,
}

"""One file per paper. `AUTOENCODERS` is the whole registry: tests, command line and docs read it."""

from genae.autoencoders.aaae import AdversariallyApproximatedAutoencoder
from genae.autoencoders.aae import CodeAdversarialAutoencoder
from genae.autoencoders.adversarial import AdversarialAutoencoder
from genae.autoencoders.ae import PlainAutoencoder
from genae.autoencoders.alae import AdversarialLatentAutoencoder
from genae.autoencoders.ali import Ali, Alice, BiGan
from genae.autoencoders.latent_regressor import LatentRegressor
from genae.autoencoders.patch_vae import PatchVae, TrunkVae
from genae.autoencoders.style_alae import StyleAdversarialLatentAutoencoder, StyleGan
from genae.autoencoders.swae import StackedWassersteinAutoencoder
from genae.autoencoders.vae import VariationalAutoencoder
from genae.autoencoders.vae_gan import VaeGan
from genae.autoencoders.wae import WaeGan, WaeMmd
from genae.autoencoders.wgan_gp import WganGp
from genae.protocol import Autoencoder

AUTOENCODERS: dict[str, type[Autoencoder]] = {
    "aaae": AdversariallyApproximatedAutoencoder,
    "aae": CodeAdversarialAutoencoder,
    "adversarial": AdversarialAutoencoder,
    "ae": PlainAutoencoder,
    "alae": AdversarialLatentAutoencoder,
    "ali": Ali,
    "alice": Alice,
    "bigan": BiGan,
    "latent-regressor": LatentRegressor,
    "patch-vae": PatchVae,
    "stacked-wae": StackedWassersteinAutoencoder,
    "style-alae": StyleAdversarialLatentAutoencoder,
    "stylegan": StyleGan,
    "trunk-vae": TrunkVae,
    "vae": VariationalAutoencoder,
    "vae-gan": VaeGan,
    "wae-gan": WaeGan,
    "wae-mmd": WaeMmd,
    "wgan-gp": WganGp,
}

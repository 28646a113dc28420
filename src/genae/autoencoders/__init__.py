"""One file per paper. `AUTOENCODERS` is the registry of what genae trains: tests, command line and docs read it.

`IMPORTED` are those that others trained: they have no ``step``, and come into a run with their weights.
"""

from typing import TYPE_CHECKING

from genae.settings.catalogue import Catalogue, Entry

if TYPE_CHECKING:
    from genae.protocol import Autoencoder

AUTOENCODERS: "Catalogue[Autoencoder]" = Catalogue({
    "aaae": Entry(
        "genae.autoencoders.aaae:AdversariallyApproximatedAutoencoder",
        "The Adversarially Approximated Autoencoder: reconstruction with a critic on images, and a small generator "
        "that learns to sample its codes. Choose it for reconstructions that are sharp; a mixture prior gives it "
        "better samples.",
    ),
    "aae": Entry(
        "genae.autoencoders.aae:CodeAdversarialAutoencoder",
        "The adversarial autoencoder of Makhzani et al.: a critic pushes the codes towards a Gaussian. Choose it "
        "as a simple baseline of adversarial regularisation.",
    ),
    "adversarial": Entry(
        "genae.autoencoders.adversarial:AdversarialAutoencoder",
        "The first stage of stacked-wae and aaae alone: reconstruction and a critic on images, and no prior. "
        "Choose it to fit priors of your own afterwards with genae prior.",
    ),
    "ae": Entry(
        "genae.autoencoders.ae:PlainAutoencoder",
        "A plain autoencoder that only lowers the reconstruction error. Choose it for compression, or as the "
        "baseline to beat; fit a prior to sample from it.",
    ),
    "age": Entry(
        "genae.autoencoders.age:AdversarialGeneratorEncoder",
        "The adversarial generator-encoder: encoder and decoder play against each other, without a critic, and codes "
        "lie on a sphere. Choose it as the smallest adversarial model that reconstructs and samples.",
    ),
    "alae": Entry(
        "genae.autoencoders.alae:AdversarialLatentAutoencoder",
        "A GAN whose encoder is trained on codes and never compares pixels; dense networks for small pictures. "
        "Choose it for codes that a linear classifier can read, not for faithful reconstructions.",
    ),
    "ali": Entry(
        "genae.autoencoders.ali:Ali",
        "Adversarially learned inference: a GAN with a random encoder, judged on pairs of image and code. Choose "
        "it as a baseline; its reconstructions are loose.",
    ),
    "alice": Entry(
        "genae.autoencoders.ali:Alice",
        "ALI with a reconstruction term, which ties each image to its code. Choose it over ali and bigan when "
        "reconstructions matter.",
    ),
    "balanced-pioneer": Entry(
        "genae.autoencoders.balanced_pioneer:BalancedPioneer",
        "PIONEER with a margin that keeps its encoder from winning, and spectral norms in both networks. Choose it "
        "over pioneer for reconstructions that stay true, with a GPU.",
    ),
    "bigan": Entry(
        "genae.autoencoders.ali:BiGan",
        "A bidirectional GAN: generator and encoder against one critic of pairs of image and code. Choose it as a "
        "baseline for features learned without labels.",
    ),
    "glow": Entry(
        "genae.autoencoders.glow:Glow",
        "A flow: its decoder is the exact inverse of its encoder, and every image has a likelihood. Choose it for "
        "reconstructions without loss and for bits per dimension; codes are as large as images, and training is slow.",
    ),
    "intro-vae": Entry(
        "genae.autoencoders.intro_vae:IntroVae",
        "A variational autoencoder whose encoder is also the critic: it keeps apart images and what the decoder makes. "
        "Choose it for sharper samples than a VAE's, if you can try several margins; soft-intro-vae has none.",
    ),
    "latent-regressor": Entry(
        "genae.autoencoders.latent_regressor:LatentRegressor",
        "A GAN, and an encoder that learns to recover the codes of generated images. Choose it as the simplest way "
        "to give a GAN an encoder.",
    ),
    "patch-vae": Entry(
        "genae.autoencoders.patch_vae:PatchVae",
        "A variational autoencoder whose code says which parts occur where in the image and how each part looks. "
        "Choose it to look for parts, or as pretraining for recognition.",
    ),
    "pggan": Entry(
        "genae.autoencoders.pggan:ProgressiveGan",
        "A GAN that grows up to 1024 pixels; it has no encoder. Choose it to compare the samples of stylegan, pioneer "
        "and style-alae with.",
    ),
    "pioneer": Entry(
        "genae.autoencoders.pioneer:Pioneer",
        "A growing autoencoder without a critic: its encoder judges generated images by the spread of their codes. "
        "Choose it as the older relative of style-alae, with a GPU.",
    ),
    "soft-intro-vae": Entry(
        "genae.autoencoders.soft_intro_vae:SoftIntroVae",
        "IntroVAE with a smooth rejection in place of its margin. Choose it over vae when samples matter, at two to "
        "three times its cost.",
    ),
    "stacked-wae": Entry(
        "genae.autoencoders.swae:StackedWassersteinAutoencoder",
        "The Stacked Wasserstein Autoencoder: reconstruction with a critic on images, and one or several priors on "
        "its codes, trained together. Choose it first: it reconstructs, samples, interpolates and edits.",
    ),
    "style-alae": Entry(
        "genae.autoencoders.style_alae:StyleAdversarialLatentAutoencoder",
        "ALAE with StyleGAN's generator, growing up to 1024 pixels. Choose it for high-resolution samples and for "
        "mixing the styles of pictures, with a GPU and thousands of pictures.",
    ),
    "stylegan": Entry(
        "genae.autoencoders.style_alae:StyleGan",
        "StyleGAN, the same generator against a critic of images; it has no encoder. Choose it to compare the "
        "samples of style-alae with.",
    ),
    "trunk-vae": Entry(
        "genae.autoencoders.patch_vae:TrunkVae",
        "A variational autoencoder on the residual network of patch-vae, with an ordinary code. Choose it as the "
        "baseline of patch-vae.",
    ),
    "vae": Entry(
        "genae.autoencoders.vae:VariationalAutoencoder",
        "The variational autoencoder, which learns the noise of its decoder. Choose it for quick, stable training "
        "and smooth codes; samples are blurred.",
    ),
    "vae-gan": Entry(
        "genae.autoencoders.vae_gan:VaeGan",
        "A variational autoencoder that compares images in the features of a critic instead of pixels. Choose it "
        "for sharper pictures than a VAE's at the price of faithfulness.",
    ),
    "vamp-vae": Entry(
        "genae.autoencoders.vamp_vae:VampVae",
        "A variational autoencoder whose prior is a mixture of the posteriors of images that it makes up "
        "(VampPrior). Choose it over vae for samples that are nearer to the data.",
    ),
    "veegan": Entry(
        "genae.autoencoders.veegan:Veegan",
        "A GAN whose encoder recovers the noise, judged on pairs of image and code. Choose it as a baseline against "
        "samples that leave out kinds of images; its reconstructions are loose.",
    ),
    "wae-gan": Entry(
        "genae.autoencoders.wae:WaeGan",
        "A Wasserstein autoencoder whose codes a critic pushes towards a Gaussian. Choose it for one prior and low "
        "reconstruction error in one stage.",
    ),
    "wae-mmd": Entry(
        "genae.autoencoders.wae:WaeMmd",
        "A Wasserstein autoencoder whose codes a kernel distance pulls towards a Gaussian. Choose it over wae-gan "
        "when you want no critic in the training.",
    ),
    "wgan-gp": Entry(
        "genae.autoencoders.wgan_gp:WganGp",
        "A GAN with gradient penalty; it has no encoder and only samples. Choose it to compare samples with.",
    ),
})  # fmt: skip

IMPORTED: "Catalogue[Autoencoder]" = Catalogue({
    "diffusers": Entry(
        "genae.autoencoders.diffusers_autoencoder:DiffusersAutoencoder",
        "An autoencoder of the library diffusers, such as those of Stable Diffusion, FLUX or SANA. Choose it to make a "
        "generator of your own pictures out of codes that somebody else has trained.",
    ),
    "taesd": Entry(
        "genae.autoencoders.taesd:TinyAutoencoder",
        "The tiny autoencoders for the codes of Stable Diffusion and FLUX, from the weights that their author "
        "publishes. Choose it where there is no GPU: encoder and decoder have a million weights each.",
    ),
})  # fmt: skip

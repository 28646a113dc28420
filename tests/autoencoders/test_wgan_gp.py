"""WGAN-GP's critic steps."""

from genae.protocol import Part


def test_wgan_gp_takes_a_fresh_batch_for_every_critic_step(tiny_model, random_batches) -> None:
    taken = 0

    def counted() -> object:
        nonlocal taken
        for batch in random_batches(0, Part()):
            taken += 1
            yield batch

    model = tiny_model("wgan-gp", critic_steps=3)
    found = list(model.step(counted(), 0))
    assert taken == 3
    assert [update.trains[0] is model.critic for update in found] == [True, True, True, False]

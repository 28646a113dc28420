"""ALI, BiGAN and ALICE: the joint game and its cycle."""

import pytest
from torch import nn

from genae.protocol import Part


@pytest.mark.parametrize("name", ["bigan", "ali"])
def test_the_joint_game_is_symmetric(name: str, tiny_model, random_batches) -> None:
    # At a blind critic both sides pay: D 2 log 2, E and G 2 log 2.
    model = tiny_model(name)
    for p in model.critic.parameters():
        nn.init.zeros_(p)
    critic, both = model.step(random_batches(0, Part()), 0)
    assert critic.trains == [model.critic]
    assert both.trains == [model.encoder, model.decoder]
    assert float(critic.loss) == pytest.approx(2 * 0.6931472, rel=1e-5)
    assert float(both.loss) == pytest.approx(2 * 0.6931472, rel=1e-5)


def test_alice_adds_its_cycle(updates) -> None:
    _, _, found = updates("alice", cycle_weight=2.0)
    assert float(found[1].loss) == pytest.approx(
        float(found[1].terms["adversarial"] + 2 * found[1].terms["mse"]), rel=1e-5
    )
    adversarial, _, found = updates("alice", cycle="adversarial")
    assert [len(update.trains) for update in found] == [1, 1, 2]
    assert found[1].trains == [adversarial.pair_critic]
    with pytest.raises(ValueError, match="cycle is 'both'; expected 'explicit' or 'adversarial'"):
        updates("alice", cycle="both")

"""All recognition networks: sizes of clips, intermediate layers, new classifiers, LS3D, saving."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.marks import slow_except
from helpers.networks import create
from torch import Tensor, nn

from ls3d.errors import InputError
from ls3d.models import (
    RecognitionNet,
    RecognitionTraits,
    Task,
    create_model,
    from_pretrained,
    list_models,
    load_model,
    model_info,
    save_weights,
)
from ls3d.models.recognition._resnet3d import ResNet3d
from ls3d.models.recognition.audiovisual import AudioVisualNet
from ls3d.nn import LS3DConv3d

TASKS: tuple[Task, ...] = ("recognition", "audio", "audio-visual")
#: One of each builder; the others differ in depth.
SOME: dict[str, dict[str, Any]] = {
    "r2d_18": {"frames": 4},
    "fr2d_18": {},
    "mc3_18": {},
    "rmc3_18": {},
    "r3d_18": {},
    "res3d_18": {},
    "r2plus1d_18": {},
    "r2plus1d_50": {"midplanes": "torchvision", "pool1": "spatial"},
    "ir_csn_50": {},
    "ip_csn_50": {},
    "i3d_r50_nl": {},
    "i3d_inception": {},
    "c3d_ucf101": {},
    "audio_resnet_18": {},
    "av_r3d_18": {},
}
EVERY = [name for task in TASKS for name in list_models(task=task)]
#: Each of SOME takes a few seconds; the others are large and take minutes.
NETWORKS = [
    *(pytest.param(name, arguments, id=name) for name, arguments in SOME.items()),
    *(
        pytest.param(name, {"frames": 4} if name == "r2d_18" else {}, id=name, marks=pytest.mark.slow)
        for name in EVERY
        if name not in SOME
    ),
]
#: What a default run takes where each network takes long.
QUICK = ("mc3_18", "r2plus1d_18", "ir_csn_50", "i3d_r50_nl", "audio_resnet_18")


def make_inputs(name: str, batch: int = 2, channels: int = 3, longer: int = 0) -> tuple[Tensor, ...]:
    """Make small inputs: two clips of 4 frames of 32x32; for C3D, which takes one size only, one clip of that size."""
    spectrogram = torch.randn(batch, 1, 100 + longer, 40)
    if name.startswith("audio"):
        return (spectrogram,)
    if name.startswith("c3d"):
        return (torch.randn(1, channels, 16, 112, 112),)
    clip = torch.randn(batch, channels, 4 + longer, 32 + 3 * longer, 32 + longer)
    return (clip, spectrogram) if name.startswith("av_") else (clip,)


def create_net(name: str, **arguments: Any) -> RecognitionNet:
    return create(RecognitionNet, name, **arguments)


def randomize(model: RecognitionNet) -> RecognitionNet:
    """Randomize the normalizations, so that none is the identity or zero."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None
            assert module.running_var is not None
            if module.weight is not None:  # Inception-I3D has none
                nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model


@pytest.mark.parametrize(("name", "arguments"), NETWORKS)
def test_forward_and_backward(name: str, arguments: dict[str, Any]) -> None:
    model = randomize(create_net(name, num_classes=7, **arguments)).train()
    inputs = make_inputs(name)
    logits = model(*inputs)
    assert logits.shape == (len(inputs[0]), 7)
    logits.square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", slow_except(EVERY, QUICK))
@torch.no_grad()
def test_features_head_layers_and_classifier(name: str, tmp_path: Path) -> None:
    model = randomize(create_net(name, num_classes=7, **SOME.get(name, {}))).eval()
    inputs = make_inputs(name)
    logits = model(*inputs)
    features = model.forward_features(*inputs)
    pre_logits = model.forward_head(features, pre_logits=True)
    assert pre_logits.shape == (len(logits), model.num_features)
    torch.testing.assert_close(model.forward_head(features), logits)
    torch.testing.assert_close(model.get_classifier()(pre_logits), logits)

    layer = model.stages[-1] if model.stages else "fc2"
    found = model.forward_intermediates(*inputs, layers=[layer, model.classifier])
    assert list(found) == [layer, model.classifier]
    torch.testing.assert_close(found[model.classifier], logits)
    torch.testing.assert_close(found[layer], features if model.stages else pre_logits)

    model.reset_classifier(3)
    assert model(*inputs).shape == (len(logits), 3)
    path = save_weights(model, tmp_path / "weights.safetensors")
    torch.testing.assert_close(load_model(path)(*inputs), model(*inputs), rtol=0, atol=0)
    model.reset_classifier(0)
    torch.testing.assert_close(model(*inputs), pre_logits)


@pytest.mark.parametrize(("name", "arguments"), NETWORKS)
@torch.no_grad()
def test_length_and_size_may_vary(name: str, arguments: dict[str, Any]) -> None:
    model = create_net(name, num_classes=7, **arguments).eval()
    inputs = make_inputs(name, longer=3)
    if name.startswith("c3d"):
        inputs = (torch.randn(1, 3, 16, 160, 160),)
    if name.startswith(("c3d", "r2d")):
        with pytest.raises(InputError, match="does not fit"):
            model(*inputs)
    else:
        assert model(*inputs).shape == (len(inputs[0]), 7)


@pytest.mark.parametrize("name", slow_except(EVERY, ["r2plus1d_18", "audio_resnet_18"]))
@torch.no_grad()
def test_compiles_to_one_graph(name: str) -> None:
    model = create_net(name, num_classes=7, **SOME.get(name, {})).eval()
    inputs = make_inputs(name)
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(*inputs), model(*inputs))


@pytest.mark.parametrize(("name", "arguments"), NETWORKS)
@torch.no_grad()
def test_learnable_sampling_changes_nothing_until_it_is_trained(name: str, arguments: dict[str, Any]) -> None:
    if name.startswith("audio") or name.endswith("ls3d"):
        pytest.skip("2D, or LS3D already")
    model = randomize(create_net(name, num_classes=7, **arguments)).eval()
    flat = name.startswith(("r2d", "fr2d", "mc2"))
    learnable = copy.deepcopy(model).make_learnable("layer2.*.conv*" if flat else True)
    assert any(isinstance(module, LS3DConv3d) for module in learnable.modules())
    inputs = make_inputs(name, batch=1)
    expected = model(*inputs)
    torch.testing.assert_close(learnable(*inputs), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["r3d_18", "ir_csn_50", "i3d_r50_nl_ls3d"])
@torch.no_grad()
def test_compiles_with_the_default_backend(name: str) -> None:
    model = randomize(create_net(name, num_classes=7)).eval()
    inputs = make_inputs(name)
    torch.testing.assert_close(torch.compile(model, fullgraph=True)(*inputs), model(*inputs), rtol=1e-3, atol=1e-3)


def learnable_layers(name: str, **arguments: Any) -> list[str]:
    with torch.device("meta"):
        model = create_net(name, **arguments)
    return [key for key, module in model.named_modules() if isinstance(module, LS3DConv3d)]


@pytest.mark.parametrize("name", ["i3d_r50", "c3d_ucf101", "av_r3d_18"])
@torch.no_grad()
def test_a_network_made_learnable_is_saved_as_one(name: str, tmp_path: Path) -> None:
    model = create_net(name, num_classes=7).eval().make_learnable()
    for module in model.modules():
        if isinstance(module, LS3DConv3d):
            nn.init.normal_(module.predictor.weight, std=0.01)
    loaded = load_model(save_weights(model, tmp_path / "learnable.safetensors"))
    inputs = make_inputs(name, batch=1)
    torch.testing.assert_close(loaded(*inputs), model(*inputs), rtol=0, atol=0)
    assert loaded.require_config().arguments == {"num_classes": 7, "ls3d": True}


@pytest.mark.parametrize(
    ("arguments", "further"),
    [
        ({"ls3d": "layer3.0.conv1.0"}, "layer4.0.conv1.0"),
        ({"ls3d": "layer3.*"}, True),
        ({"ls3d": True}, False),
        ({}, False),
        ({}, ["layer4.0.*", "layer4.1.conv1.0"]),
    ],
)
def test_the_config_describes_all_learnable_convolutions(
    arguments: dict[str, Any], further: Any, tmp_path: Path
) -> None:
    model = create_net("r3d_18", num_classes=2, **arguments).make_learnable(further)
    loaded = load_model(save_weights(model, tmp_path / "learnable.safetensors"))
    names = [
        [name for name, module in net.named_modules() if isinstance(module, LS3DConv3d)] for net in (model, loaded)
    ]
    assert names[0] == names[1]


def test_a_network_without_the_argument_is_not_converted() -> None:
    model = create_model("late_fusion", clip="r3d_18", flow=None, spectrogram=None, clip_arguments={"width": 4})
    assert isinstance(model, RecognitionNet)
    with pytest.raises(InputError, match="late_fusion has no argument ls3d"):
        model.make_learnable()


class TestChoiceOfLearnableConvolutions:
    """The argument ``ls3d``."""

    def test_i3d_takes_the_nine_temporal_ones(self) -> None:
        blocks = ["1.0", "1.1", "1.2", "2.0", "2.2", "3.0", "3.2", "3.4", "4.1"]
        expected = [f"layer{block}.conv1.0" for block in blocks]
        assert learnable_layers("i3d_r50_ls3d") == expected
        assert learnable_layers("i3d_r50", ls3d=True) == expected
        assert learnable_layers("i3d_r50") == learnable_layers("i3d_r50_ls3d", ls3d=False) == []

    def test_the_first_layer_is_not_converted(self) -> None:
        assert len(learnable_layers("r3d_18", ls3d=True)) == 16
        assert len(learnable_layers("r2plus1d_18", ls3d=True)) == 16
        assert len(learnable_layers("ir_csn_50", ls3d=True)) == 16
        assert learnable_layers("mc3_18", ls3d=True) == [f"layer1.{i}.conv{j}.0" for i in (0, 1) for j in (1, 2)]
        assert learnable_layers("c3d", ls3d=True)[0] == "conv2a.0"

    def test_patterns(self) -> None:
        assert learnable_layers("r3d_18", ls3d="layer4.1.*") == ["layer4.1.conv1.0", "layer4.1.conv2.0"]
        assert learnable_layers("fr2d_18", ls3d=["*4.0.conv1.0", "*4.1.conv1.0"]) == [
            "layer4.0.conv1.0",
            "layer4.1.conv1.0",
        ]

    def test_ls3d_convolutions_are_not_converted_again(self) -> None:
        model = create_net("r3d_18", ls3d="layer4.1.*")
        before = model.get_submodule("layer4.1.conv1.0")
        model.make_learnable()
        assert model.get_submodule("layer4.1.conv1.0") is before
        assert sum(isinstance(module, LS3DConv3d) for module in model.modules()) == 16
        with pytest.raises(InputError, match="no convolution over time is left"):
            model.make_learnable()

    @pytest.mark.parametrize(("name", "choice"), [("r3d_18", "layer9.*"), ("mc2_18", True), ("r2d_18", True)])
    def test_choosing_nothing_is_an_error(self, name: str, choice: Any) -> None:
        with pytest.raises(InputError, match="ls3d="):
            create_net(name, ls3d=choice)


@pytest.mark.parametrize("name", ["r3d_18", "r2plus1d_18", "ir_csn_50", "i3d_r50", "c3d_ucf101", "av_r3d_18"])
@torch.no_grad()
def test_optical_flow_has_two_channels(name: str) -> None:
    model = create_net(name, num_classes=7, in_channels=2).eval()
    assert model(*make_inputs(name, channels=2)).shape[1] == 7
    with pytest.raises(InputError, match=r"\(N, 2, "):
        model(*make_inputs(name, channels=3))


@pytest.mark.parametrize(
    "name",
    slow_except(
        ["r2plus1d_18", "c3d_ucf101", "i3d_inception", "i3d_r50_nl", "av_r3d_18"], ["r2plus1d_18", "i3d_r50_nl"]
    ),
)
def test_checkpointing_changes_neither_gradients_nor_statistics(name: str) -> None:
    plain = randomize(create_net(name, num_classes=7, dropout=0.0)).train()
    checkpointed = copy.deepcopy(plain)
    checkpointed.set_grad_checkpointing()
    inputs = make_inputs(name)
    for model in (plain, checkpointed):
        model(*inputs).square().sum().backward()
    gradients = {key: parameter.grad for key, parameter in checkpointed.named_parameters()}
    torch.testing.assert_close(gradients, {key: parameter.grad for key, parameter in plain.named_parameters()})
    torch.testing.assert_close(checkpointed.state_dict(), plain.state_dict())
    assert saved_bytes(checkpointed, inputs) < 0.8 * saved_bytes(plain, inputs)


def saved_bytes(model: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    """Measure the activations that a forward pass stores for the backward pass."""
    sizes: dict[int, int] = {}

    def record(tensor: Tensor) -> Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        output = model(*inputs)
    del output
    return sum(size for pointer, size in sizes.items() if pointer not in parameters)


def test_dropout_only_acts_in_training() -> None:
    model = create_net("r3d_18", num_classes=7, dropout=0.5)
    clip = torch.randn(1, 3, 4, 32, 32)
    assert torch.equal(model.eval()(clip), model(clip))
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.eval()
    assert not torch.equal(model(clip), model(clip))


def test_c3d_features_are_those_after_the_relu() -> None:
    model = create_net("c3d_ucf101").eval()
    with torch.no_grad():
        found = model.forward_intermediates(*make_inputs("c3d_ucf101"), layers=["fc6", "fc6.0", "conv5"])
    assert found["fc6"].shape == (1, 2048)
    torch.testing.assert_close(found["fc6"], found["fc6.0"].relu())
    assert (found["fc6.0"] < 0).any()
    assert found["conv5"].min() == 0


def test_c3d_pools_its_last_map_in_ceil_mode() -> None:
    """A ramp over 7x7: windows start at 0, 2, 4 and 6."""
    with torch.device("meta"):
        pools = {mode: create_net("c3d", pool5=mode).get_submodule("pool5") for mode in ("ceil", "padded")}
    ramp = torch.arange(7.0).expand(1, 1, 2, 7, 7)
    assert pools["ceil"](ramp)[0, 0, 0, 0].tolist() == [1, 3, 5, 6]
    assert pools["padded"](ramp)[0, 0, 0, 0].tolist() == [0, 2, 4, 6]


def test_audio_visual_heads() -> None:
    model = create(AudioVisualNet, "av_r3d_18", num_classes=7, unimodal_heads=True).eval()
    clip, spectrogram = inputs = make_inputs("av_r3d_18")
    with torch.no_grad():
        logits = model.forward_modalities(clip, spectrogram)
        torch.testing.assert_close(logits["joint"], model(*inputs))
        torch.testing.assert_close(logits["joint"], model(spectrogram=spectrogram, clip=clip))
        silent = model.forward_modalities(clip, torch.zeros_like(spectrogram))
    assert {key: tuple(value.shape) for key, value in logits.items()} == dict.fromkeys(
        ("audio", "visual", "joint"), (2, 7)
    )
    torch.testing.assert_close(silent["visual"], logits["visual"])
    assert not torch.allclose(silent["audio"], logits["audio"])
    model.reset_classifier(3)
    assert {value.shape[1] for value in model.forward_modalities(clip, spectrogram).values()} == {3}
    with pytest.raises(InputError, match="unimodal_heads"):
        create(AudioVisualNet, "av_r3d_18").forward_modalities(clip, spectrogram)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("r3d_18", {"num_clases": 3}, "no argument 'num_clases'"),
        ("r2d_18", {"stem_kernel": 3}, "no argument 'stem_kernel'"),
        ("r3d_18", {"num_classes": -1}, "num_classes is -1"),
        ("r3d_18", {"temporal_strides": [1, 2]}, "temporal_strides"),
        ("r3d_18", {"pool1": "big"}, "pool1 is 'big'"),
        ("r3d_18", {"shortcut": "none"}, "shortcut is 'none'"),
        ("r2d_18", {"frames": 0}, "frames is 0"),
        ("r2plus1d_18", {"midplanes": "mine"}, "midplanes is 'mine'"),
        ("c3d_ucf101", {"pool5": "round"}, "pool5 is 'round'"),
        ("i3d_r50", {"layout": "mine"}, "layout is 'mine'"),
        ("r3d_17", {}, "r3d_18"),
    ],
)
def test_wrong_arguments_are_named(name: str, arguments: dict[str, Any], message: str) -> None:
    with torch.device("meta"), pytest.raises(InputError, match=message):
        create_net(name, **arguments)


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(InputError, match=r"'layer5'.*layer4"):
        create_net("r3d_18").forward_intermediates(torch.zeros(1, 3, 4, 32, 32), layers=["layer5"])


@pytest.mark.parametrize("shape", [(3, 4, 32, 32), (1, 1, 4, 32, 32)])
def test_a_clip_of_another_shape_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"takes \(N, 3, T, H, W\)"):
        create_net("r3d_18")(torch.zeros(shape))


def test_layer_names_are_what_forward_intermediates_takes() -> None:
    model = create_net("res3d_18").eval()
    names = [name for name in model.layer_names() if "." not in name]
    assert names == ["stem", "pool1", "layer1", "layer2", "layer3", "layer4", "avgpool", "dropout", "fc"]
    clip = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        found = model.forward_intermediates(clip, layers=model.layer_names())
    assert found["layer2.0.downsample"].shape == (1, 128, 2, 8, 8)
    # The output before the ReLU that follows in place.
    assert found["layer1.0.conv1.1"].min() < 0


@pytest.mark.parametrize("name", EVERY)
def test_every_network_has_its_description_and_paper(name: str) -> None:
    info = model_info(name)
    assert info.description
    assert info.paper.startswith("arXiv:")
    assert info.input_size is not None
    assert info.accuracy is None or (info.accuracy.data and info.accuracy.top1 and info.accuracy.source)


@pytest.mark.parametrize(("name", "length"), [("r2d_18", 8), ("fr2d_18", None), ("c3d_ucf101", 16), ("r3d_18", None)])
def test_traits_state_the_only_length_of_a_clip(name: str, length: int | None) -> None:
    assert create_net(name).traits.clip_length == length
    assert create_net("r2d_18", frames=4).traits == RecognitionTraits(
        task="recognition", modalities=("clip",), clip_length=4
    )


@torch.no_grad()
def test_midplanes_follow_the_two_published_rules() -> None:
    """M of 64->64, 64->128, 128->128, ..., and torchvision's 230 where VMZ has 288."""
    with torch.device("meta"):
        vmz = create_net("r2plus1d_18")
        theirs = create_net("r2plus1d_18", midplanes="torchvision")
    widths = [
        model.get_parameter(f"layer{stage}.0.conv{j}.0.0.weight").shape[0]
        for model in (vmz, theirs)
        for stage in (1, 2, 3, 4)
        for j in (1, 2)
    ]
    assert widths == [144, 144, 230, 288, 460, 576, 921, 1152, 144, 144, 230, 230, 460, 460, 921, 921]


@torch.no_grad()
def test_pretrained_by_path(tmp_path: Path) -> None:
    model = create_net("r2plus1d_18", num_classes=3, in_channels=2).eval()
    model.save_pretrained(tmp_path / "mine", license="CC-BY-4.0")
    clip = torch.randn(1, 2, 4, 32, 32)
    for source in (tmp_path / "mine", tmp_path / "mine" / "model.safetensors"):
        torch.testing.assert_close(from_pretrained(source)(clip), model(clip), rtol=0, atol=0)
    assert type(model).from_pretrained(tmp_path / "mine").require_config().metadata["license"] == "CC-BY-4.0"


@pytest.mark.parametrize("name", ["r2plus1d_18", "ir_csn_50", "i3d_r50", "res3d_18", "mc3_18"])
def test_the_width_scales_every_stage(name: str) -> None:
    """Channels are doubled from stage to stage, as in the full network; a clip passes."""
    network = create_model(name, width=8, num_classes=3)
    assert isinstance(network, ResNet3d)
    expansion = network.num_features // 64
    outputs = network.eval().forward_intermediates(
        torch.rand(1, 3, 8, 32, 32), layers=["stem", "layer1", "layer2", "layer3", "layer4"]
    )
    assert [output.shape[1] for output in outputs.values()] == [8, *(8 * expansion * 2**n for n in range(4))]

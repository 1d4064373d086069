"""timm's names, and modules of the caller's: right, or refused in a sentence before anything is downloaded."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torch.nn.utils.prune
from timm.models.vision_transformer import VisionTransformer

from conftest import TINY, make_backbone
from selfprompt.assembly import create_model
from selfprompt.backbones.base import UNEDITED
from selfprompt.backbones.load import load_backbone
from selfprompt.backbones.metadata import Preprocessing, kind_of
from selfprompt.backbones.timm_hub import list_names
from selfprompt.backbones.vit import ViT
from selfprompt.errors import UserError, unknown
from selfprompt.methods.recipe import Recipe
from selfprompt.tuning.fit import fit

PLAIN = sorted(name for module in ("vision_transformer", "deit") for name in timm.list_models(module=module))
OTHERS = (
    "DiffAttention",
    "ParallelScalingBlock",
    "ParallelThingsBlock",
    "DiffParallelScalingBlock",
    "VisionTransformerDistilled",
)


def tiny(**more: Any) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(**{**TINY, **more}).eval()


def features(backbone: ViT, images: torch.Tensor) -> torch.Tensor:
    tokens = backbone.run(images, UNEDITED)
    return backbone.readout(tokens)


@pytest.mark.parametrize("start", sorted({name[:8] for name in PLAIN}))
def test_every_plain_vit_of_timm_is_right_or_refused(start: str) -> None:
    """Made small, with every weight away from its default."""
    listed = {name.partition(".")[0] for name in list_names()}
    for name in (n for n in PLAIN if n.startswith(start)):
        torch.manual_seed(0)
        model = timm.create_model(
            name, embed_dim=32, num_heads=2, depth=2, patch_size=8, img_size=16, num_classes=0
        ).eval()
        for parameter in model.parameters():
            parameter.data += 0.2 * torch.randn_like(parameter)
        kinds = {type(m).__name__ for m in model.modules()}
        if kinds.intersection(OTHERS):
            with pytest.raises(UserError, match="which lacks"):
                load_backbone(model)
            assert name not in listed
            continue
        images = torch.randn(2, 3, 16, 16)
        with torch.no_grad():
            assert torch.allclose(features(load_backbone(model), images), model(images), atol=1e-4), name


class OwnForward(VisionTransformer):
    def forward(self, *inputs: Any, **rest: Any) -> torch.Tensor:
        return super().forward(*inputs, **rest) * 2


def with_nan() -> VisionTransformer:
    vit = tiny()
    vit.blocks[1].mlp.fc1.bias.data[3] = torch.nan
    return vit


def with_a_hook() -> VisionTransformer:
    vit = tiny()
    vit.blocks[0].register_forward_hook(lambda module, args, out: out + out.roll(1, -1))
    return vit


def with_computed_weights() -> VisionTransformer:
    vit = tiny()
    torch.nn.utils.prune.random_unstructured(vit.blocks[0].attn.qkv, "weight", 0.5)
    return vit


class OwnFeatures(VisionTransformer):
    def forward_features(self, x: torch.Tensor, *args: Any, **rest: Any) -> torch.Tensor:
        return super().forward_features(x) * 2


def on_meta() -> VisionTransformer:
    with torch.device("meta"):
        return VisionTransformer(**TINY)


def around(module: torch.nn.Module) -> torch.nn.Module:
    return torch.nn.Sequential(module)


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (with_computed_weights, "cannot be copied .* give it plain weights"),
        (lambda: torch.inference_mode()(tiny)(), "cannot be copied .* give it plain weights"),
        (lambda: OwnFeatures(**TINY), "VisionTransformer's own forward_features"),
        (on_meta, "is on the meta device and has no weights"),
        (lambda: tiny(depth=0), "lacks blocks"),
        (lambda: around(tiny()), "is a Sequential, which lacks"),
        (lambda: tiny(attn_layer="diff"), "lacks plain attention .*DiffAttention"),
        (lambda: OwnForward(**TINY), "features are not the model's own"),
        (with_a_hook, "features are not the model's own"),
        (with_nan, "NaN or infinity"),
        (lambda: tiny(global_pool="", fc_norm=False), "not one vector each: build it with global_pool="),
        (lambda: tiny(in_chans=1), "takes images of 1 channels.*in_chans=3"),
        (lambda: tiny(in_chans=4), "takes images of 4 channels.*in_chans=3"),
        (lambda: tiny(img_size=(32, 64)), r"takes images of 32 x 64 pixels.*--image-size 32"),
        (lambda: tiny(patch_size=(8, 16)), r"patches of 8 x 16 pixels"),
    ],
)
def test_what_is_read_wrongly_is_refused(module: Callable[[], VisionTransformer], why: str) -> None:
    with pytest.raises(UserError, match=why):
        load_backbone(module())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_another_precision_is_taken_in_float32(dtype: torch.dtype) -> None:
    images = torch.randn(2, 3, 32, 32)
    backbone = load_backbone(tiny().to(dtype))
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}
    with torch.no_grad():
        assert torch.allclose(features(backbone, images), tiny()(images), atol=0.05)


def test_an_oblong_module_works_at_a_square_size() -> None:
    backbone = load_backbone(tiny(img_size=(32, 64)), image_size=32)
    assert (backbone.num_patches, backbone.info.image_size) == (16, 32)


@pytest.mark.parametrize("wrap", [torch.nn.DataParallel, functools.partial(torch.compile, backend="eager")])
def test_wrapped_modules_are_found(wrap: Callable[[torch.nn.Module], torch.nn.Module]) -> None:
    assert load_backbone(wrap(tiny())).depth == 3


@pytest.mark.parametrize("image_size", [None, 64])
def test_the_callers_module_stays_as_it_is(image_size: int | None) -> None:
    module = tiny(num_classes=5).train()
    before = copy.deepcopy(module.state_dict())
    for source in (module, make_backbone()):
        state = {k: v.clone() for k, v in source.state_dict().items()}
        load_backbone(source, image_size)
        assert all(torch.equal(v, state[k]) for k, v in source.state_dict().items())
    assert module.state_dict().keys() == before.keys()
    assert module.training
    assert all(p.requires_grad for p in module.parameters())
    assert module(torch.randn(1, 3, 32, 32)).shape == (1, 5)


@pytest.mark.parametrize(
    ("name", "size", "why"),
    [
        ("resnet50.a1_in1k", None, "is a ResNet, which lacks"),
        ("vit_dwee_patch16_reg1_gap_256.sbb_in1k", None, "lacks plain attention"),
        ("vit_base_patch16_224.mae", 100, "--image-size 100 is no multiple of the patch size 16"),
        ("vit_base_patch16_224.mea", None, "did you mean vit_base_patch16_224.mae"),
    ],
)
def test_nothing_is_downloaded_for_a_refusal(
    name: str, size: int | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = timm.create_model

    def without_weights(name: str, pretrained: bool = False, **rest: Any) -> torch.nn.Module:
        assert not pretrained, "weights were asked for"
        return create(name, pretrained=False, **rest)

    monkeypatch.setattr(timm, "create_model", without_weights)
    with pytest.raises(UserError, match=why):
        load_backbone(name, size)


def test_another_size_by_name_has_the_fingerprint_of_its_own_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def give(name: str, pretrained: bool = False, img_size: int = 32, **rest: Any) -> VisionTransformer:
        vit = tiny()
        vit.set_input_size((img_size, img_size))
        return vit

    monkeypatch.setattr(timm, "create_model", give)
    name = "vit_base_patch16_224.mae"
    assert load_backbone(name, 64).num_patches == 64
    assert load_backbone(name, 64).fingerprint() == load_backbone(name).fingerprint()


def test_near_names_are_offered_ten_at_most() -> None:
    with pytest.raises(UserError, match="did you mean vit_base_patch16_224"):
        load_backbone("vit_base_patch16_244")
    with pytest.raises(UserError) as refusal:
        load_backbone("nobody/knows-this")
    assert str(refusal.value).count(",") < 10
    assert str(unknown("thing", "xyz", [f"a{i}" for i in range(50)])).count(",") == 9
    assert "known are a, b." in str(unknown("thing", "xyz", ["b", "a"]))


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("mae", "vit_base_patch16_224.mae vit_huge_patch14_224.mae"),
        (
            "supervised",
            "vit_base_patch16_224.augreg_in21k vit_base_patch16_224.sam_in1k vit_base_patch16_224_miil.in21k "
            "vit_base_patch16_224.bamboo deit3_base_patch16_224.fb_in1k flexivit_base.1200ep_in1k "
            "vit_base_patch32_clip_224.openai_ft_in1k vit_so400m_patch14_siglip_378.webli_ft_in1k "
            "beit3_base_patch16_224.in22k_ft_in1k eva_large_patch14_196.in22k_ft_in22k_in1k "
            "eva02_base_patch14_448.mim_in22k_ft_in1k vit_base_patch16_rope_mixed_224.naver_in1k "
            "beitv2_base_patch16_224.in1k_ft_in22k",
        ),
        (
            "dino",
            "vit_base_patch14_dinov2.lvd142m vit_base_patch14_reg4_dinov2.lvd142m vit_small_patch16_224.dino "
            "vit_small_patch16_dinov3.lvd1689m vit_large_patch16_dinov3_qkvb.sat493m",
        ),
        (
            "clip",
            "vit_base_patch32_clip_224.laion2b vit_base_patch16_clip_224.dfn2b vit_base_patch16_siglip_224.webli "
            "vit_base_patch14_reg1_tipsv2.webli vit_xsmall_patch16_clip_224.tinyclip_yfcc15m "
            "vit_so400m_patch14_siglip_gap_224.pali_pt vit_huge_patch14_clip_224.metaclip_altogether "
            "eva02_base_patch16_clip_224.merged2b vit_pe_core_base_patch16_224.fb",
        ),
        (
            "unknown",
            "vit_huge_patch14_gap_224.in1k_ijepa aimv2_large_patch14_224.apple_pt beit3_base_patch16_224.pt "
            "beit3_base_patch16_224.indomain_pt vit_base_patch16_radio_v3.c_radio "
            "vit_intern300m_patch14_448.ogvl_dist vit_base_patch16_224. "
            "eva02_base_patch14_224.mim_in22k vit_base_patch16_dinov3_qkvb.eupe_lvd1689m "
            "vit_pe_spatial_base_patch16_512.fb vit_base_patch16_sapiens2.fb vit_base_patch16_lingbot.robbyant",
        ),
    ],
)
def test_the_tag_tells_the_pretraining(kind: str, names: str) -> None:
    for name in names.split():
        architecture, _, tag = name.partition(".")
        assert not tag or name in timm.list_models(pretrained=True), name
        assert kind_of(tag, architecture) == kind, name


@pytest.mark.parametrize(
    "odd", [{"interpolation": "foo"}, {"crop_pct": 0}, {"mean": (0.5, 0.5)}, {"std": (1, 1, 0)}, {"input_size": 3}]
)
def test_a_modules_own_configuration_is_checked(odd: dict[str, Any]) -> None:
    module = tiny()
    module.pretrained_cfg = odd
    with pytest.raises(UserError, match=rf"The pretrained_cfg of VisionTransformer is damaged \({next(iter(odd))}"):
        load_backbone(module)


def test_all_that_timm_says_of_its_models_is_understood() -> None:
    for name in list_names():
        config = timm.get_pretrained_cfg(name)
        assert config is not None
        Preprocessing.model_validate(config.to_dict())


def twice(layer: torch.nn.Module, how: str) -> None:
    """Have a layer give twice its output."""
    own = layer.forward
    if how == "hook":
        layer.register_forward_hook(lambda module, args, out: 2 * out)
    elif how == "pre-hook":
        layer.register_forward_pre_hook(lambda module, args: (2 * args[0],))
    elif how == "method":
        layer.forward = lambda x: 2 * own(x)  # type: ignore[method-assign]
    elif how == "weight norm":
        torch.nn.utils.parametrizations.weight_norm(layer)
        layer.parametrizations.weight.original0.data *= 2


@pytest.mark.parametrize("how", ["hook", "pre-hook", "method", "weight norm"])
def test_what_wraps_keys_and_values_is_asked_for_prompts_too(how: str) -> None:
    module, plain = tiny(qkv_bias=False), tiny(qkv_bias=False)
    for block, same in zip(module.blocks, plain.blocks):
        twice(block.attn.qkv, how)
        same.attn.qkv.weight.data *= 2
    images = torch.randn(2, 3, 32, 32)
    answers = []
    for source in (module, plain):
        model = create_model(source, "vpt", num_classes=2)
        model.initialize()
        answers.append(model.eval()(images))
    assert torch.allclose(*answers, atol=1e-5)


def in_training() -> VisionTransformer:
    rates = dict.fromkeys(("drop_rate", "pos_drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate"), 0.5)
    return tiny(**rates, patch_drop_rate=0.5).train()


def tied() -> VisionTransformer:
    vit = tiny()
    vit.blocks[1].mlp.fc1.weight = vit.blocks[0].mlp.fc1.weight
    vit.blocks[2] = vit.blocks[0]
    return vit


@pytest.mark.parametrize("make", [in_training, tied, lambda: tiny().requires_grad_(False)])
@pytest.mark.parametrize("method", ["linear", "full", "lora", "spt"])
def test_odd_modules_answer_as_their_own_and_stay_as_they_are(
    make: Callable[[], VisionTransformer], method: str
) -> None:
    if method == "lora":
        pytest.importorskip("peft")
    module, images = make(), torch.randn(4, 3, 32, 32)
    before, expected = copy.deepcopy(module), copy.deepcopy(module).eval()(images)
    model = create_model(module, method, num_classes=2)
    if method != "spt":
        assert torch.allclose(model.eval().features(images), expected, atol=1e-5)
    pairs = [(image.clamp(0, 1).numpy().transpose(1, 2, 0), i % 2) for i, image in enumerate(images)]
    fit(model, pairs, pairs, recipe=Recipe(epochs=1, batch_size=2, lr=1e-2))
    assert all(torch.equal(v, before.state_dict()[k]) for k, v in module.state_dict().items())
    for (_, one), (_, two) in zip(module.named_modules(), before.named_modules(), strict=True):
        assert (type(one), one.training, len(one._forward_hooks)) == (
            type(two),
            two.training,
            len(two._forward_hooks),
        )
    flags = [p.requires_grad for p in before.parameters()]
    assert [p.requires_grad for p in module.parameters()] == flags

"""Names of the transformers library, and timm's names of weights of the same origin.

Only those whose origin timm's own pretrained configurations bear out: by the address that the weights came from, or
by the hub repository, which names the collection of images that they were trained on.
"""

from __future__ import annotations

ALIASES = {
    **{
        f"facebook/dinov2-{more}{size}": f"vit_{size}_patch14_{tag}dinov2.lvd142m"
        for more, tag in (("", ""), ("with-registers-", "reg4_"))
        for size in ("small", "base", "large", "giant")
    },
    **{
        f"facebook/dinov3-{short}-pretrain-lvd1689m": f"vit_{size}_patch16_dinov3.lvd1689m"
        for short, size in {
            "vits16": "small",
            "vits16plus": "small_plus",
            "vitb16": "base",
            "vitl16": "large",
            "vith16plus": "huge_plus",
            "vit7b16": "7b",
        }.items()
    },
    "facebook/dinov3-vitl16-pretrain-sat493m": "vit_large_patch16_dinov3.sat493m",
    "facebook/dinov3-vit7b16-pretrain-sat493m": "vit_7b_patch16_dinov3.sat493m",
    **{
        f"facebook/dino-vit{size[0]}{patch}": f"vit_{size}_patch{patch}_224.dino"
        for size in ("small", "base")
        for patch in (8, 16)
    },
    "facebook/vit-mae-base": "vit_base_patch16_224.mae",
    "facebook/vit-mae-large": "vit_large_patch16_224.mae",
    "facebook/vit-mae-huge": "vit_huge_patch14_224.mae",
    "google/vit-base-patch16-224": "vit_base_patch16_224.orig_in21k_ft_in1k",
    "google/vit-base-patch16-384": "vit_base_patch16_384.orig_in21k_ft_in1k",
    "google/vit-large-patch32-384": "vit_large_patch32_384.orig_in21k_ft_in1k",
    **{
        f"google/vit-{size}-patch{patch}-224-in21k": f"vit_{size}_patch{patch}_224.orig_in21k"
        for size, patch in (("base", 16), ("base", 32), ("large", 16), ("large", 32), ("huge", 14))
    },
    "openai/clip-vit-base-patch32": "vit_base_patch32_clip_quickgelu_224.openai",
    "openai/clip-vit-base-patch16": "vit_base_patch16_clip_quickgelu_224.openai",
    "openai/clip-vit-large-patch14": "vit_large_patch14_clip_quickgelu_224.openai",
    "openai/clip-vit-large-patch14-336": "vit_large_patch14_clip_quickgelu_336.openai",
    **{
        f"google/siglip-base-patch16-{size}": f"vit_base_patch16_siglip_{size}.webli" for size in (224, 256, 384, 512)
    },
    **{f"google/siglip-large-patch16-{size}": f"vit_large_patch16_siglip_{size}.webli" for size in (256, 384)},
    "google/siglip-base-patch16-256-multilingual": "vit_base_patch16_siglip_256.webli_i18n",
    "google/siglip-so400m-patch14-224": "vit_so400m_patch14_siglip_224.webli",
    "google/siglip-so400m-patch14-384": "vit_so400m_patch14_siglip_384.webli",
    "google/siglip-so400m-patch16-256-i18n": "vit_so400m_patch16_siglip_256.webli_i18n",
    "google/siglip2-base-patch32-256": "vit_base_patch32_siglip_256.v2_webli",
    "google/siglip2-so400m-patch14-224": "vit_so400m_patch14_siglip_224.v2_webli",
    **{
        f"google/siglip2-{name}-patch16-{side}": f"vit_{size}_patch16_siglip_{side}.v2_webli"
        for name, size, sides in (
            ("base", "base", (224, 256, 384, 512)),
            ("large", "large", (256, 384, 512)),
            ("so400m", "so400m", (256, 384, 512)),
            ("giant-opt", "giantopt", (256, 384)),
        )
        for side in sides
    },
}

WITH_TEXTS = {
    "openai/clip-vit-base-patch32": "open_clip:ViT-B-32-quickgelu/openai",
    "openai/clip-vit-base-patch16": "open_clip:ViT-B-16-quickgelu/openai",
    "openai/clip-vit-large-patch14": "open_clip:ViT-L-14-quickgelu/openai",
    "openai/clip-vit-large-patch14-336": "open_clip:ViT-L-14-336-quickgelu/openai",
}
"""Where both towers are wanted, open_clip's names of the same pairs."""


def resolve(name: str, texts: bool = False) -> str:
    """The name under which a backbone is found: an alias's own, any other as it is."""
    return WITH_TEXTS[name] if texts and name in WITH_TEXTS else ALIASES.get(name, name)

"""Look of the studio: quiet greys, one warm accent, the picture first. Dark and light, wide and narrow."""

from gradio import themes

_SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "monospace")

_ACCENT = themes.Color(
    c50="#fdf6ef",
    c100="#fae8d5",
    c200="#f4cfa9",
    c300="#ecb076",
    c400="#e28f45",
    c500="#d97326",
    c600="#b9531a",
    c700="#a24418",
    c800="#82381b",
    c900="#6a3019",
    c950="#39160a",
    name="ember",
)
_GREY = themes.Color(
    c50="#fafaf9",
    c100="#f3f2f0",
    c200="#e6e4e1",
    c300="#d2cfcb",
    c400="#a19d98",
    c500="#75716c",
    c600="#575450",
    c700="#3b3936",
    c800="#262523",
    c900="#1b1a19",
    c950="#121211",
    name="slate",
)


def make_theme() -> themes.Base:
    """The Gradio theme; fonts are the system's own, nothing is fetched from elsewhere."""
    theme = themes.Base(
        primary_hue=_ACCENT,
        secondary_hue=_ACCENT,
        neutral_hue=_GREY,
        radius_size=themes.sizes.radius_md,
        spacing_size=themes.sizes.spacing_sm,
        text_size=themes.sizes.text_md,
        font=_SANS,
        font_mono=_MONO,
    )
    return theme.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_400",
        block_title_text_weight="500",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        block_padding="6px 2px",
        panel_background_fill="*neutral_100",
        panel_background_fill_dark="*neutral_900",
        input_background_fill="white",
        input_background_fill_dark="*neutral_900",
        input_border_width="1px",
        button_secondary_background_fill="*neutral_200",
        button_secondary_background_fill_hover="*neutral_300",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_700",
        button_primary_text_color="white",
        button_large_text_weight="500",
        button_large_text_size="*text_md",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        checkbox_border_color="*neutral_500",
        checkbox_border_color_dark="*neutral_500",
        slider_color="*primary_500",
    )

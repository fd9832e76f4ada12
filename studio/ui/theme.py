"""Look of the studio: quiet greys, one warm accent, the picture first. Dark and light, wide and narrow."""

import gradio as gr

_SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "monospace")

_ACCENT = gr.themes.Color(
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
_GREY = gr.themes.Color(
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


def make_theme() -> gr.themes.Base:
    """The Gradio theme; fonts are the system's own, nothing is fetched from elsewhere."""
    theme = gr.themes.Base(
        primary_hue=_ACCENT,
        secondary_hue=_ACCENT,
        neutral_hue=_GREY,
        radius_size=gr.themes.sizes.radius_md,
        spacing_size=gr.themes.sizes.spacing_sm,
        text_size=gr.themes.sizes.text_md,
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


CSS = """
.gradio-container { max-width: 1360px !important; margin: 0 auto !important; padding: 0 18px 40px !important; }
footer { display: none !important; }
#masthead { display: flex; align-items: center; gap: 12px; padding: 14px 2px 6px; }
#masthead b { font-size: 19px; letter-spacing: .2px; }
#masthead .mark { width: 22px; height: 22px; border-radius: 6px;
  background: conic-gradient(from 210deg, #d97326, #f4cfa9, #6a3019, #d97326); }
#masthead .grow { flex: 1; }
#masthead button { border: 0; border-radius: 8px; padding: 8px 12px; cursor: pointer; font-size: 13px; min-height: 36px;
  background: var(--neutral-200); color: var(--neutral-800); }
.dark #masthead button { background: var(--neutral-800); color: var(--neutral-200); }
.gs-stage { display: flex; justify-content: center; background: var(--neutral-100); border-radius: 14px; padding: 10px; }
.dark .gs-stage { background: #000; }
.gs-stage img { width: min(100%, 68vh); aspect-ratio: 1; object-fit: contain; border-radius: 8px; display: block; }
.gs-stage img.small { image-rendering: pixelated; }
.gs-stage:has(.gs-empty) { background: none; border: 1.5px dashed var(--neutral-300); }
.dark .gs-stage:has(.gs-empty) { background: none; border-color: var(--neutral-700); }
.gs-empty { padding: 34px 22px; text-align: center; color: var(--neutral-600); line-height: 1.6; width: 100%; }
.dark .gs-empty { color: var(--neutral-400); }
.gs-note { color: var(--neutral-600); font-size: 13px; line-height: 1.5; padding: 2px; }
.dark .gs-note { color: var(--neutral-400); }
.gs-note b { font-weight: 600; }
.gs-provenance { border: 1px solid var(--neutral-200); border-radius: 12px; padding: 12px 14px; overflow-wrap: anywhere; }
.dark .gs-provenance { border-color: var(--neutral-800); }
.gs-provenance > b { display: block; font-size: 17px; }
.gs-provenance > span { font-size: 13px; color: var(--neutral-600); }
.dark .gs-provenance > span { color: var(--neutral-400); }
.gs-provenance dt { font-size: 13px; font-weight: 600; margin-top: 8px; }
.gs-provenance dd { margin: 0; font-size: 14px; line-height: 1.5; }
.gs-grid { display: grid; gap: 6px; }
.gs-grid button { padding: 0; border: 2px solid transparent; border-radius: 8px; overflow: hidden; cursor: pointer;
  background: var(--neutral-100); color: inherit; position: relative; min-width: 0; }
.dark .gs-grid button { background: var(--neutral-900); }
.gs-grid button:hover, .gs-grid button:focus-visible { border-color: var(--primary-400); }
.gs-grid button.on { border-color: var(--primary-500); }
.gs-grid img { width: 100%; display: block; aspect-ratio: 1; object-fit: cover; }
.gs-grid img.small { image-rendering: pixelated; }
.gs-grid span { display: block; font-size: 12px; padding: 3px 6px 4px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
#models span { white-space: normal; line-height: 1.3; }
.gs-grid .head { background: transparent; cursor: default; opacity: .92; }
.gs-grid .head:hover { border-color: transparent; }
.gs-grid button.out img { opacity: .22; filter: grayscale(1); }
.gs-grid button.out::after { content: "left out"; position: absolute; inset: auto 0 40%; font-size: 11px; text-align: center; }
.gs-bar { height: 10px; border-radius: 5px; background: var(--neutral-200); overflow: hidden; margin: 8px 0; }
.dark .gs-bar { background: var(--neutral-800); }
.gs-bar i { display: block; height: 100%; background: var(--primary-500); transition: width .6s; }
.gs-sheet img { width: 100%; image-rendering: pixelated; }
.gs-note ul { margin: 4px 0 4px 18px; list-style: disc; }
.gs-note details, details.gs-note { max-height: 260px; overflow: auto; }
.gs-strip { display: flex; gap: 8px; overflow-x: auto; padding-bottom: 4px; contain: inline-size; }
.gs-strip button { flex: 0 0 92px; }
.gs-pad { position: relative; aspect-ratio: 1; width: 100%; max-width: 260px; border-radius: 12px; cursor: crosshair; touch-action: none;
  background: radial-gradient(circle at center, var(--neutral-200), var(--neutral-100)); }
.dark .gs-pad { background: radial-gradient(circle at center, var(--neutral-800), var(--neutral-900)); }
.gs-pad::before, .gs-pad::after { content: ""; position: absolute; background: var(--neutral-300); }
.dark .gs-pad::before { background: var(--neutral-700); }
.dark .gs-pad::after { background: var(--neutral-700); }
.gs-pad::before { left: 50%; top: 8%; bottom: 8%; width: 1px; }
.gs-pad::after { top: 50%; left: 8%; right: 8%; height: 1px; }
.gs-pad i { position: absolute; width: 18px; height: 18px; margin: -9px; border-radius: 50%; background: var(--primary-500);
  box-shadow: 0 1px 6px #0006; z-index: 1; pointer-events: none; }
#status { border-top: 1px solid var(--neutral-200); padding-top: 8px; margin-top: 8px; }
.dark #status { border-color: var(--neutral-800); }
.gs-drop { border: 1.5px dashed var(--neutral-300) !important; border-radius: 12px; }
.dark .gs-drop { border-color: var(--neutral-700) !important; }
.gs-drop label[data-testid=block-label] { position: absolute; opacity: 0; pointer-events: none; }
#train-set input, #train-job input { text-overflow: ellipsis; padding-right: 26px; }
[data-testid=status-tracker]:has(.error) { display: none !important; }
[id^=mixer-] input[data-testid=number-input] { width: 52px; }
.gs-tools { gap: 6px !important; flex-wrap: wrap !important; }
.gs-tools button { min-width: 0 !important; flex: 1 1 auto; min-height: 40px; }
.gs-tools > .block { flex: 3 1 230px; }
.gradio-container input[type=range]::-webkit-slider-thumb { background: var(--primary-500); box-shadow: 0 0 0 2px var(--body-background-fill), 0 1px 4px #0007; }
.gradio-container input[type=range]::-moz-range-thumb { background: var(--primary-500); box-shadow: 0 0 0 2px var(--body-background-fill), 0 1px 4px #0007; }
.dark input[type=range]::-webkit-slider-runnable-track {
  background: linear-gradient(to right, var(--slider-color) var(--range_progress), var(--neutral-700) var(--range_progress)); }
.dark input[type=range]::-moz-range-track { background: var(--neutral-700); }
button:focus-visible, input:focus-visible, textarea:focus-visible, summary:focus-visible, .gs-pad:focus-visible {
  outline: 2px solid var(--primary-500) !important; outline-offset: 2px; }
label:has(input[type=radio]:focus-visible) { outline: 2px solid var(--primary-500); outline-offset: 2px; }
button[role=tab][aria-selected=true] { color: var(--primary-700) !important; }
.dark button[role=tab][aria-selected=true] { color: var(--primary-400) !important; }
.gs-cards label { width: 100%; }
.gs-cards label span { display: block; white-space: pre-line; font-size: 13px; line-height: 1.45; color: var(--neutral-600); padding: 2px 0; }
.dark .gs-cards label span { color: var(--neutral-300); }
.gs-cards label span::first-line { font-size: 15px; font-weight: 600; color: var(--body-text-color); }
#train-goal .wrap { display: grid; grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); }
#train-goal label { align-items: flex-start; }
.gs-zones > .gs-zone { min-width: max(min(300px, 100%), 40%) !important; }
.gs-pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 10px; margin: 8px 0; }
.gs-pairs figure { display: grid; grid-template-columns: 1fr 1fr; gap: 2px; margin: 0; border-radius: 10px; overflow: hidden; }
.gs-pairs img { width: 100%; display: block; }
.gs-pairs figcaption { grid-column: 1 / -1; font-size: 12px; padding: 1px 4px 3px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; color: var(--neutral-600); }
.dark .gs-pairs figcaption { color: var(--neutral-300); }
.gs-rows { display: grid !important; grid-template-columns: max-content minmax(0, 1fr); align-items: stretch; }
.gs-rows img { aspect-ratio: auto !important; width: 100% !important; }
.gs-rows > div { display: grid; grid-auto-rows: 1fr; align-items: center; }
.gs-rows span { font-size: 12px; padding: 0 8px; white-space: nowrap; }
.gs-advice { width: 100%; border-collapse: collapse; font-size: 13px; line-height: 1.5; }
.gs-advice th, .gs-advice td { text-align: left; vertical-align: top; padding: 8px 10px 8px 0; border: 0 !important; }
.gs-advice, .gs-advice tbody, .gs-advice tr { border: 0 !important; }
.gs-advice tr { border-bottom: 1px solid var(--neutral-300) !important; }
.dark .gs-advice tr { border-color: var(--neutral-800) !important; }
.gs-advice th { font-weight: 600; }
.gs-cost { display: none; }
.gs-advice img { width: 72px; border-radius: 8px; display: block; margin-top: 6px; image-rendering: pixelated; }
#train-ground button { border: 1px solid var(--neutral-500); border-radius: 6px; }
.gradio-container .form { background: transparent; border: 0; box-shadow: none; gap: 8px; }
.gradio-container .gr-group, .gradio-container .gr-group > .styler { background: transparent; border: 0; box-shadow: none; }
#classes-chips .gs-strip { flex-wrap: wrap; max-height: 236px; overflow: hidden auto; }
#classes-chips .gs-strip button { flex: 0 0 auto; display: flex; align-items: center; padding-right: 8px; border-radius: 12px;
  max-width: 220px; min-height: 48px; }
#classes-chips .gs-strip img { width: 48px; border-radius: 8px; }
#classes-chips .gs-strip span { font-size: 14px; padding-left: 10px; }
#classes-chips .gs-strip button.on span { font-weight: 600; }
#classes-stage img { width: min(100%, 54vh); }
#classes-dice { align-self: end; }
.gs-compare { position: relative; overflow: hidden; border-radius: 8px; line-height: 0; touch-action: pan-y;
  width: min(100%, 68vh * var(--w) / var(--h)); aspect-ratio: var(--w) / var(--h); }
.gs-stage .gs-compare img { width: 100%; height: 100%; aspect-ratio: auto; object-fit: fill; border-radius: 0; }
.gs-compare.small img { image-rendering: pixelated; }
.gs-compare.clear, .gs-figures img.clear { background: repeating-conic-gradient(#cfcdc9 0 25%, #f6f5f3 0 50%) 0 0 / 18px 18px; }
.gs-compare .before { position: absolute; inset: 0; clip-path: inset(0 calc(100% - var(--at, 50%)) 0 0); }
.gs-compare .after { clip-path: inset(0 0 0 var(--at, 50%)); }
.gs-compare i { position: absolute; top: 0; bottom: 0; left: var(--at, 50%); width: 2px; margin-left: -1px; background: #fff;
  box-shadow: 0 0 4px #0009; pointer-events: none; }
.gs-compare i::after { content: "‹ ›"; position: absolute; top: 50%; left: 50%; width: 34px; height: 34px; margin: -17px; border-radius: 50%;
  background: #fff; color: #3b3936; font: 600 15px/32px ui-sans-serif, system-ui, sans-serif; text-align: center; box-shadow: 0 1px 6px #0007; }
.gs-compare b { position: absolute; bottom: 8px; left: 8px; padding: 3px 8px; border-radius: 6px; background: #0009; color: #fff;
  font: 500 12px/1.3 ui-sans-serif, system-ui, sans-serif; pointer-events: none; }
.gs-compare b + b { left: auto; right: 8px; }
.gs-compare input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize; touch-action: pan-y; }
.gs-compare:has(input:focus-visible) { outline: 2px solid var(--primary-500); outline-offset: 2px; }
.gs-window { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; margin-top: 4px; }
.gs-window figure { margin: 0; min-width: 0; }
.gs-window img { width: 100%; height: 260px; object-fit: none; border-radius: 8px; display: block; background: var(--neutral-100); }
.dark .gs-window img { background: #000; }
.gs-window figcaption { font-size: 12px; padding: 4px 2px; color: var(--neutral-600); }
.dark .gs-window figcaption { color: var(--neutral-400); }
.gs-figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 10px; margin-top: 8px; }
.gs-figures figure { margin: 0; min-width: 0; }
.gs-figures img { width: 100%; max-height: 320px; object-fit: contain; border-radius: 8px; display: block; }
.gs-figures img.small { image-rendering: pixelated; }
.gs-figures figcaption { font-size: 12px; line-height: 1.4; padding: 4px 2px; color: var(--neutral-600); overflow-wrap: anywhere; }
.dark .gs-figures figcaption { color: var(--neutral-400); }
.gs-examples button { flex: 0 0 auto !important; display: flex; gap: 2px; }
.gs-examples img { width: 84px !important; }
.label-wrap > span:first-child { text-align: left; }
.gs-note > img { width: 192px; border-radius: 8px; display: block; margin-top: 6px; image-rendering: pixelated; }
.gs-models { display: grid; grid-template-columns: repeat(auto-fill, minmax(168px, 1fr)); gap: 10px; }
.gs-models button { position: relative; display: flex; flex-direction: column; gap: 2px; min-width: 0; padding: 0 0 8px; text-align: left;
  border: 2px solid transparent; border-radius: 12px; overflow: hidden; cursor: pointer; background: var(--neutral-100); color: inherit; }
.dark .gs-models button { background: var(--neutral-900); }
.gs-models button:hover, .gs-models button:focus-visible { border-color: var(--primary-400); }
.gs-models button.on { border-color: var(--primary-500); }
.gs-models img { width: 100%; aspect-ratio: 4 / 3; object-fit: cover; display: block; margin-bottom: 4px; }
.gs-models b, .gs-models small { padding: 0 10px; overflow-wrap: anywhere; line-height: 1.35; }
.gs-models b { font-size: 14px; font-weight: 600; }
.gs-models small, .gs-list small { display: block; font-size: 12px; color: var(--neutral-600); }
.dark .gs-models small, .dark .gs-list small { color: var(--neutral-400); }
.gs-models i { position: absolute; top: 6px; right: 6px; font-size: 11px; font-style: normal; padding: 1px 8px; border-radius: 9px;
  background: #000a; color: #fff; }
.gs-about > img { max-width: 100%; height: 280px; object-fit: contain; border-radius: 12px; display: block; margin: 0 auto; }
.gs-about > img.blank { height: 120px; }
.gs-about h3 { font-size: 18px; font-weight: 600; margin: 10px 0 4px; overflow-wrap: anywhere; }
.gs-about table { width: 100%; border-collapse: collapse; font-size: 13px; line-height: 1.45; }
.gs-about table, .gs-about tbody, .gs-about tr { border: 0 !important; background: none !important; }
.gs-about th, .gs-about td { text-align: left; vertical-align: top; padding: 3px 12px 3px 0 !important; border: 0 !important; overflow-wrap: anywhere; }
.gs-about th { font-weight: 500; white-space: nowrap; color: var(--neutral-600); width: 1%; }
.dark .gs-about th { color: var(--neutral-400); }
.gs-examples { display: flex; gap: 6px; overflow-x: auto; padding: 8px 0 2px; contain: inline-size; }
.gs-examples img { height: 84px; border-radius: 8px; flex: 0 0 auto; }
.gs-list { display: grid; gap: 6px; }
.gs-list > div { display: flex; align-items: center; justify-content: space-between; gap: 12px; padding: 8px 12px; border-radius: 10px;
  background: var(--neutral-100); }
.dark .gs-list > div { background: var(--neutral-900); }
.gs-list span { min-width: 0; overflow-wrap: anywhere; font-size: 14px; line-height: 1.4; }
.gs-list i { font-style: normal; font-size: 13px; white-space: nowrap; color: var(--neutral-600); }
.dark .gs-list i { color: var(--neutral-400); }
.gs-list button { flex: 0 0 auto; border: 0; border-radius: 8px; padding: 8px 14px; min-height: 36px; font-size: 13px; cursor: pointer;
  background: var(--neutral-200); color: inherit; }
.dark .gs-list button { background: var(--neutral-800); }
.gs-list a, .gs-card-text a { text-decoration: underline; color: inherit; }
.gs-field { display: flex; flex-wrap: nowrap !important; align-items: flex-end !important; gap: 8px !important; }
.gs-field > .block, .gs-field > .form { flex: 1 1 auto; min-width: 0 !important; }
.gs-field button { flex: 0 0 auto; width: auto; min-width: 88px; min-height: 40px; margin-bottom: 7px; }
#models-close { align-self: flex-end; width: auto; min-height: 36px; padding: 4px 14px; }
.gs-undo { display: flex; flex-wrap: nowrap !important; align-items: center; border-radius: 10px; padding: 6px 12px; background: var(--primary-100); }
.dark .gs-undo { background: var(--neutral-800); }
.gs-undo > .block { flex: 1 1 auto; min-width: 0 !important; }
#models-page .gs-note { overflow-wrap: anywhere; }
.gs-undo button { flex: 0 0 auto; width: auto; min-width: 64px; min-height: 36px; background: var(--primary-600); color: #fff; }
.gs-card-text { font-size: 13px; line-height: 1.55; overflow-wrap: anywhere; max-height: 460px; overflow-y: auto; }
.gs-card-text :is(h1, h2, h3, h4) { font-size: 14px; font-weight: 600; margin: 14px 0 4px; }
.gs-card-text :is(p, ul, ol, table, blockquote, pre) { margin: 0 0 8px; }
.gs-card-text :is(ul, ol) { padding-left: 20px; }
.gs-card-text ul { list-style: disc !important; }
.gs-card-text ol { list-style: decimal !important; }
.gs-card-text table { display: block; overflow-x: auto; border-collapse: collapse; }
.gs-card-text :is(table, thead, tbody, tr, th, td) { border: 0 !important; }
.gs-card-text tr { border-bottom: 1px solid var(--neutral-300) !important; }
.dark .gs-card-text tr { border-color: var(--neutral-800) !important; }
.gs-card-text :is(th, td) { text-align: left; vertical-align: top; padding: 4px 12px 4px 0 !important; }
.gs-card-text pre { white-space: pre-wrap; }
.gs-card-text img { max-width: 100%; border-radius: 8px; }
#classes-more { border-top: 1px solid var(--neutral-200); padding-top: 10px; margin-top: 6px; }
.dark #classes-more { border-color: var(--neutral-800); }
.gs-note a { padding: 0 !important; margin: 0 !important; text-decoration: underline; overflow-wrap: anywhere; }
#share-hub > button span:first-child, #share-space > button span:first-child, #share-marks > button span:first-child { font-size: 17px; font-weight: 600; }
.gs-gallery { grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); }
.gs-gallery button { aspect-ratio: 1; }
.gs-gallery img { height: 100%; }
.gs-gallery em { display: grid; place-items: center; height: 100%; padding: 8px; font-size: 12px; font-style: normal; overflow-wrap: anywhere;
  color: var(--neutral-600); }
.dark .gs-gallery em { color: var(--neutral-400); }
.gs-gallery i, .gs-gallery b { position: absolute; z-index: 1; bottom: 6px; left: 6px; padding: 1px 6px; border-radius: 6px; background: #0009; color: #ffd9a8;
  font: 500 13px/1.4 ui-sans-serif, system-ui, sans-serif; }
.gs-gallery b { left: auto; right: 6px; color: #fff; font-size: 11px; }
.gs-gallery.choose button::before { content: ""; position: absolute; z-index: 1; top: 6px; left: 6px; width: 22px; height: 22px; border-radius: 6px;
  background: #fffb; border: 1.5px solid #0006; font: 700 15px/19px ui-sans-serif, system-ui, sans-serif; color: #fff; }
.gs-gallery.choose button.on::before { content: "✓"; background: var(--primary-600); border-color: var(--primary-600); }
.gs-gallery.choose button.on img { opacity: .75; }
.gs-facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 4px 14px; font-size: 14px; line-height: 1.5; margin: 4px 2px; }
.gs-facts dt { color: var(--neutral-600); }
.dark .gs-facts dt { color: var(--neutral-400); }
.gs-facts dd { margin: 0; overflow-wrap: anywhere; }
#gallery-tools, #gallery-pager { align-items: center; }
#gallery-where { text-align: center; flex: 0 1 auto; }
#gallery-place { text-align: center; }
#gallery-filters { align-items: end; }
@media (max-width: 640px) {
  .gs-gallery { grid-template-columns: repeat(3, minmax(0, 1fr)); }
  #gallery-filters, #gallery-more .row, #gallery-sheet-box .row { flex-direction: column; align-items: stretch; }
  #classes-chips .gs-strip { flex-wrap: nowrap; }
  #classes-grid .loose .gs-grid { grid-template-columns: repeat(4, minmax(0, 1fr)) !important; }
  #classes-result { position: sticky; top: 0; z-index: 60; background: var(--body-background-fill); }
  #classes-result .gs-stage img { width: min(100%, 34vh); }
  .gs-tools > .block, .gs-tools > .form { flex-basis: 100%; }
  #train-moments .gs-grid { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; }
  #explore-page { flex-direction: column; }
  #explore-left, #explore-right { display: contents; }
  #explore-right > * { order: 1; }
  #explore-near { order: 2; }
  #explore-move, #explore-keep { display: grid !important; grid-template-columns: repeat(4, minmax(0, 1fr)); width: 100%; }
  #explore-keep { grid-template-columns: 1.5fr .8fr 1.3fr .9fr; }
  #explore-move button, #explore-keep button { padding: 8px 2px; font-size: 14px; }
  #dice { grid-column: 1 / -1; }
  input[data-testid=number-input] { width: 56px !important; }
  .gs-advice, .gs-advice tbody, .gs-advice tr, .gs-advice th, .gs-advice td { display: block; }
  .gs-cost { display: inline; }
  .gs-advice thead { position: absolute; opacity: 0; }
  .gs-advice th, .gs-advice td { padding: 1px 0; }
  .gs-advice tr { padding: 8px 0; }
  .gs-zones > .gs-b { order: 1; }
  .gs-rows span { font-size: 10px; padding: 0 4px; white-space: normal; max-width: 52px; }
  .gs-pairs { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .gs-pictures .gs-grid { grid-template-columns: repeat(5, minmax(0, 1fr)) !important; }
  #masthead button { white-space: nowrap; }
  #explore-stage { position: sticky; top: 0; z-index: 60; background: var(--body-background-fill); }
  .gs-stage img { width: min(100%, 42vh); }
  #explore-stage .gs-stage, #mixer-result .gs-stage, #classes-result .gs-stage { border-radius: 0 0 14px 14px; }
  .keys { display: none; }
  #train-steps button[role=tab] { font-size: 13px; padding-left: 7px; padding-right: 7px; }
  #mixer-result { order: -1; position: sticky; top: 0; z-index: 60; background: var(--body-background-fill); }
  #mixer-result .gs-stage img { width: min(100%, 34vh); }
  .gs-grid span { font-size: 10px; padding: 2px; }
  #translate-page, #upscale-page { flex-direction: column; }
  #translate-left, #translate-right, #upscale-left, #upscale-right { display: contents; }
  #translate-input, #upscale-input { order: 0; }
  #translate-one, #translate-many, #translate-clip, #upscale-one, #upscale-many, #upscale-clip { order: 1; }
  #translate-settings, #upscale-settings { order: 2; }
  .gs-compare { width: min(100%, 56vh * var(--w) / var(--h)); }
  #models-page { flex-direction: column; }
  #models-right { order: -1; }
  #models-hint { display: none; }
  .gs-models { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .gs-figures { grid-template-columns: repeat(2, minmax(0, 1fr)); }
}
"""

# Keys work wherever no text is being typed; each presses the button that a mouse would.
# Gradio puts its own selector before each of ours, which then cannot reach what lies around the page.
HEAD = """
<style>
html body .gradio-container.gradio-container { overflow: clip; width: 100%; }
@media (max-width: 640px) {
  html body .gradio-container.gradio-container.gradio-container { padding: 0 4px 40px !important; }
  html body .gradio-container.gradio-container .app.app { padding: 4px 8px !important; }
}
</style>
<script>
(() => {
  // Where one was, for a reload: sessionStorage ends with the page, so a new visitor begins with a picture.
  const press = (name, where) => {
    const tab = [...document.querySelectorAll(where)].find((b) => b.textContent.trim() === name);
    if (tab && tab.getAttribute("aria-selected") !== "true") tab.click();
  };
  const place = window.studioPlace = {
    put: (key, value) => value === null ? sessionStorage.removeItem("studio-" + key) : sessionStorage.setItem("studio-" + key, value),
    get: (key) => sessionStorage.getItem("studio-" + key),
    openTab: () => { if (!location.search.includes("recipe=")) press(place.get("tab"), "[role=tab]:not(#train-steps *)"); },
    openStep: () => { if (!place.stepped) press(place.get("step"), "#train-steps [role=tab]"); place.stepped = true; },
    dark: (wanted) => { document.body.classList.toggle("dark", wanted); localStorage.setItem("studio-dark", wanted); },
    theme: () => { const kept = localStorage.getItem("studio-dark"); if (kept) place.dark(kept === "true"); },
  };
  document.addEventListener("click", (e) => {
    const tab = e.target.closest("[role=tab]");
    if (tab) place.put(tab.closest("#train-steps") ? "step" : "tab", tab.textContent.trim());
  });
  // Of several the one that is in sight.
  const keys = {
    " ": ["dice"], ArrowLeft: ["previous", "gallery-newer", "gallery-newer-page"], z: ["undo"], y: ["redo"],
    ArrowRight: ["next", "gallery-older", "gallery-older-page"], Escape: ["gallery-back"],
  };
  document.addEventListener("keydown", (e) => {
    const ids = keys[e.key];
    if (!ids || e.ctrlKey || e.metaKey || e.altKey) return;
    const t = e.target;
    if (t.closest("textarea, select, [contenteditable], [role=slider], [role=tab], [role=listbox]")) return;
    if (t.tagName === "INPUT" && !(t.type === "range" && (e.key === " " || e.key === "z" || e.key === "y"))) return;
    if (t.tagName === "BUTTON" && e.key === " ") t.blur();
    const host = ids.map((id) => document.getElementById(id)).find((h) => h && h.offsetParent !== null);
    if (!host) return;
    e.preventDefault();
    (host.tagName === "BUTTON" ? host : host.querySelector("button")).click();
  });
  // When nothing is under way the server tells Gradio's page to hang up. The page does so even if it has asked for something
  // meanwhile, and waits for that answer until it asks again. So after each question, but its own, it asks for nothing once more.
  let own = false, again;
  new PerformanceObserver((list) => {
    if (!list.getEntries().some((e) => e.name.includes("/queue/join"))) return;
    if (own) { own = false; return; }
    clearTimeout(again);
    again = setTimeout(() => { own = true; document.getElementById("still-there")?.click(); }, 3000);
  }).observe({ type: "resource" });
})();
</script>
"""

THEME_TOGGLE_JS = "studioPlace.dark(!document.body.classList.contains('dark'))"

"""The site: sphinx-build -W --keep-going -n docs docs/_build/html."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
# kernels find `in_process` beside this file, and read no network
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
os.environ["HF_HUB_OFFLINE"] = "1"

import selfprompt  # noqa: E402

project, author, version = "selfprompt", "The selfprompt developers", selfprompt.__version__
project_copyright = author
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "pages"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "selfprompt"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_theme_options = {"sidebar_hide_name": False, "navigation_with_keys": True}
pygments_style, pygments_dark_style = "tango", "monokai"

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# other languages in fences have no lexer of their own
suppress_warnings = ["misc.highlighting_failure"]

nb_execution_mode = "cache"
nb_execution_in_temp = True
nb_execution_timeout = 3600
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove"

default_role = "py:obj"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
napoleon_use_param = True
napoleon_use_ivar = True
# What torch, numpy and pydantic define is documented elsewhere, and no inventory is fetched; links between pages,
# files and headings are checked.
nitpick_ignore_regex = [("py:.*", ".*")]

"""Sphinx configuration: ``sphinx-build -W --keep-going -b html doc doc/_build/html``."""

import inspect
import sys
from importlib import import_module
from importlib.metadata import version as installed_version
from pathlib import Path

import emlearn

HERE = Path(__file__).resolve().parent
if Path(emlearn.__file__).resolve().parent == HERE.parent / "emlearn":
    raise RuntimeError(
        "The documentation describes the installed package, not the folder beside it: run `pip install .` first."
    )

sys.path.insert(0, str(HERE / "_ext"))

# ----------------------------------------------------------------- project

project = "emlearn"
author = "the emlearn developers"
project_copyright = author
release = installed_version("emlearn")
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "services",
]
exclude_patterns = ["_build", "_ext", "_templates"]
templates_path = ["_templates"]
default_role = "literal"
highlight_language = "python"
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

# Every explicit reference must have a target; scikit-learn's are named, not linked, for a build without network.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"sklearn\..*")]  # documented elsewhere

# --------------------------------------------------------------------- API

autodoc_typehints = "none"  # the docstrings name the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # the template of a class lists them
numpydoc_class_members_toctree = False


def own_members(module: str, name: str, kind: str) -> list[str]:
    """List the public methods or properties of a class that emlearn documents."""
    cls = getattr(import_module(module), name)
    found = []
    for member in dir(cls):
        if member.startswith("_"):
            continue
        value = inspect.getattr_static(cls, member)
        if isinstance(value, property):
            here, function = "properties", value.fget
        else:
            here, function = "methods", getattr(value, "__func__", value)
        if here == kind and getattr(function, "__module__", "").startswith("emlearn"):
            found.append(member)
    return found


autosummary_context = {"own_members": own_members}
suppress_warnings = ["config.cache"]  # a function is not cached: nothing to lose

# ----------------------------------------------------------------- doctest

doctest_global_setup = f"DOC = {str(HERE)!r}"

# ---------------------------------------------------------------- examples

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["auto_examples"],
    "ignore_pattern": r"quickstart\.py$",  # has a page of its own
    "doc_module": ("emlearn",),
    "reference_url": {"emlearn": None},
    "backreferences_dir": None,
    "reset_modules": ("gallery.reset",),
    "reset_modules_order": "both",
    "within_subsection_order": "FileNameSortKey",
    "nested_sections": False,
    "abort_on_example_error": True,
    "download_all_examples": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "remove_config_comments": True,
    "show_signature": False,
}

# -------------------------------------------------------------------- HTML

html_theme = "pydata_sphinx_theme"
html_title = f"emlearn {release}"
html_static_path = ["_static"]
html_css_files = ["emlearn.css"]
html_math_renderer = "mathml"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "emlearn"},
    "navbar_align": "left",
    "navbar_persistent": [],
    "navbar_end": ["search-button", "theme-switcher"],
    "header_links_before_dropdown": 7,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    # the pages of the families list each other on the left, and need the width
    "secondary_sidebar_items": {
        **{page.stem: ["page-toc"] for page in HERE.glob("*.rst")},
        "api/**": ["page-toc"],
        "auto_examples/**": ["page-toc"],
        "families/*": [],
    },
    "footer_start": ["copyright"],
    "footer_end": [],
}
# Only the reference has pages below it.
html_sidebars = {page.stem: [] for page in HERE.glob("*.rst") if page.stem != "api"}
html_sidebars["auto_examples/**"] = []

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

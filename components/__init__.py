"""What a pipeline is made of: data sets, TFX components and their executors."""


def __getattr__(name: str):
    """Our artifact types, which Kubeflow's executor imports by their type names, `components.HtmlReport` say."""
    if name in ("HtmlReport", "ComparisonTable"):
        from components import artifacts

        return getattr(artifacts, name)
    raise AttributeError(f"module {__name__} has no attribute {name}")

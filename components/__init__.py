"""What a pipeline is made of: data sets, TFX components and their executors."""


def __getattr__(name: str):
    """The report's artifact type, which Kubeflow's executor imports by its type name `components.HtmlReport`."""
    if name == "HtmlReport":
        from components.report.component import HtmlReport

        return HtmlReport
    raise AttributeError(f"module {__name__} has no attribute {name}")

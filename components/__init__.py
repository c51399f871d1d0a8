"""What a pipeline is made of: data sets, TFX components and their executors."""


def __getattr__(name: str):
    """Our artifact types, which Kubeflow's executor imports by their type names, `components.HtmlReport` say."""
    if name == "HtmlReport":
        from components.report.component import HtmlReport

        return HtmlReport
    if name == "ComparisonTable":
        from components.comparison import ComparisonTable

        return ComparisonTable
    raise AttributeError(f"module {__name__} has no attribute {name}")

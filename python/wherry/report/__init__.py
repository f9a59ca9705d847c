"""The page that shows what packs hold and what benchmarks measured."""

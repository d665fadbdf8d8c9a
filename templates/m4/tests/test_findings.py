import json
import os
import unittest

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class TheFiles(unittest.TestCase):
    def test_findings_name_their_schema(self):
        with open(os.path.join(HERE, "findings.toml"), encoding="utf-8") as file:
            self.assertIn('schema = "reelworld/findings/v1"', file.read())

    def test_the_notebook_can_be_opened(self):
        with open(os.path.join(HERE, "analysis", "analysis.ipynb"), encoding="utf-8") as file:
            notebook = json.load(file)
        self.assertEqual(notebook["nbformat"], 4)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                compile("".join(cell["source"]), "cell", "exec")


if __name__ == "__main__":
    unittest.main()

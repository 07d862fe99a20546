"""The live view: MLJobs in a browser, with the rights of the person who opens the view."""

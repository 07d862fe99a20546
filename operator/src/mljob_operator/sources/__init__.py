"""Where news of runs comes from: the topic with its events (:mod:`.topic`), the change feed of each Airflow (:mod:`.change_feed`), and who reads which of them
(:mod:`.supervisor`).
"""

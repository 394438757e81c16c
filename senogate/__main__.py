if __name__ == "__main__":  # processes that decode load it by another name
    from senogate.cli import main

    main()
